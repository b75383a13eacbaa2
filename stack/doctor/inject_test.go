package doctor_test

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// injection makes one thing wrong with a site. The error is errAbsent when what
// it changes is not there.
type injection func(*site) error

// all makes several changes that are one mistake.
func all(steps ...injection) injection {
	return func(s *site) error {
		for _, step := range steps {
			if err := step(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// edit replaces a text that has to be there once.
func edit(role, old, new string) injection {
	return func(s *site) error {
		data, err := s.read(role)
		if err != nil {
			return err
		}
		if n := bytes.Count(data, []byte(old)); n != 1 {
			return fmt.Errorf("%s: %s has %q %d times: it %w", s.style, role, old, n, errAbsent)
		}
		return s.overwrite(role, bytes.Replace(data, []byte(old), []byte(new), 1))
	}
}

// written replaces all of a file.
func written(role, text string) injection {
	return func(s *site) error { return s.overwrite(role, []byte(text)) }
}

// more appends to a file.
func more(role, text string) injection {
	return func(s *site) error {
		data, err := s.read(role)
		if err != nil {
			return err
		}
		return s.overwrite(role, append(data, text...))
	}
}

// gone removes a file or a directory.
func gone(role string) injection {
	return func(s *site) error {
		file, err := s.at(role)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(file); err != nil {
			return fmt.Errorf("%s: %s %w", s.style, role, errAbsent)
		}
		if err := s.take(role); err != nil {
			return err
		}
		return os.RemoveAll(file)
	}
}

// directory is what an engine leaves where a file was missing when it started.
func directory(role string) injection {
	return all(gone(role), func(s *site) error {
		file, err := s.at(role)
		if err != nil {
			return err
		}
		return os.Mkdir(file, 0o755)
	})
}

func mode(role string, mode os.FileMode) injection {
	return func(s *site) error {
		if _, err := s.read(role); err != nil {
			return err
		}
		file, err := s.at(role)
		if err != nil {
			return err
		}
		return os.Chmod(file, mode)
	}
}

// owner gives a file away, which only root may.
func owner(role string, uid int) injection {
	return func(s *site) error {
		if _, err := s.read(role); err != nil {
			return err
		}
		file, err := s.at(role)
		if err != nil {
			return err
		}
		return os.Chown(file, uid, uid)
	}
}

// copyOf puts what another role has.
func copyOf(from, to string) injection {
	return func(s *site) error {
		data, err := s.read(from)
		if err != nil {
			return err
		}
		return s.overwrite(to, data)
	}
}

func swap(a, b string) injection {
	return func(s *site) error {
		first, err := s.read(a)
		if err != nil {
			return err
		}
		if err := copyOf(b, a)(s); err != nil {
			return err
		}
		return s.overwrite(b, first)
	}
}

// changed has a function change what a file holds.
func changed(role string, change func([]byte) ([]byte, error)) injection {
	return func(s *site) error {
		data, err := s.read(role)
		if err != nil {
			return err
		}
		if data, err = change(data); err != nil {
			return fmt.Errorf("%s: %s: %w", s.style, role, err)
		}
		return s.overwrite(role, data)
	}
}

// later looks at the site some time from now.
func later(d time.Duration) injection {
	return func(s *site) error {
		s.now = s.now.Add(d)
		return s.takePath("the clock")
	}
}

// alone keeps another fault away from a file that is left as it is, where the two
// would be none.
func alone(role string) injection { return func(s *site) error { return s.take(role) } }

// about is alone for what is in several files.
func about(what string) injection { return func(s *site) error { return s.takePath(what) } }
