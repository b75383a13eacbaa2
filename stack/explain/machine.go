package explain

// machine finds many words in one pass over a text: an automaton of Aho and
// Corasick (CACM 18, 1975) as one table, so that the cost of a byte does not
// depend on how many words there are. No word has a line end in it.
type machine struct {
	class [256]uint8 // bytes that no word has are all of class 0
	width uint32
	next  []uint32 // by state+class: the next state, with hit set where a word ends
	ends  [][]int  // by state/width: the words that end there
}

const hit = 1 << 31

// newMachine returns the machine for the words.
func newMachine(words []string) *machine {
	m := &machine{width: 1}
	for _, w := range words {
		for i := range len(w) {
			if m.class[w[i]] == 0 {
				m.class[w[i]] = uint8(m.width)
				m.width++
			}
		}
	}
	m.addState()
	for id, w := range words {
		m.add(id, w)
	}
	m.link()
	return m
}

func (m *machine) addState() uint32 {
	m.ends = append(m.ends, nil)
	m.next = append(m.next, make([]uint32, m.width)...)
	return uint32(len(m.ends)-1) * m.width
}

// add puts one word into the tree.
func (m *machine) add(id int, word string) {
	state := uint32(0)
	for i := range len(word) {
		at := state + uint32(m.class[word[i]])
		if m.next[at] == 0 {
			to := m.addState() // moves m.next
			m.next[at] = to
		}
		state = m.next[at]
	}
	m.ends[state/m.width] = append(m.ends[state/m.width], id)
}

// link turns the tree into the automaton, breadth first: where a word does not go
// on, the state goes on as the longest other word that the text ends with.
func (m *machine) link() {
	fail := make([]uint32, len(m.ends))
	var queue []uint32
	for c := range m.width {
		if to := m.next[c]; to != 0 {
			queue = append(queue, to)
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		from := fail[state/m.width]
		m.ends[state/m.width] = append(m.ends[state/m.width], m.ends[from/m.width]...)
		for c := range m.width {
			to := m.next[state+c]
			if to == 0 {
				m.next[state+c] = m.next[from+c]
				continue
			}
			fail[to/m.width] = m.next[from+c]
			queue = append(queue, to)
		}
	}
	for i, to := range m.next {
		if len(m.ends[to/m.width]) > 0 {
			m.next[i] = to | hit
		}
	}
}

// find goes on from a state at text[i] until words end, and returns them with the
// state and the index behind them. At the end of the text there are none.
func (m *machine) find(text []byte, state uint32, i int) (words []int, after uint32, end int) {
	for ; i < len(text); i++ {
		c := text[i]
		if c == escape {
			// Colours between the words of a message are no part of it.
			i = escapeEnd(text, i) - 1
			continue
		}
		state = m.next[state+uint32(m.class[c])]
		if state&hit != 0 {
			state &^= hit
			return m.ends[state/m.width], state, i + 1
		}
	}
	return nil, state, len(text)
}
