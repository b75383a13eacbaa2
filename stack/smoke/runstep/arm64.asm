// The step for linux/arm64. runstep.go says what it does; assemble makes arm64.elf.
// A system call takes its number in x8, arguments in x0 to x3, and answers in
// x0, negative for an error.

	.globl	_start
	.text

	.equ	OPENAT, 56
	.equ	READ, 63
	.equ	WRITE, 64
	.equ	EXIT, 93
	.equ	AT_FDCWD, -100
	.equ	CREATE, 0301		// O_WRONLY | O_CREAT | O_EXCL
	.equ	SIZE, 32

_start:	sub	sp, sp, 2*SIZE
	mov	w19, 1			// the exit status tells which step failed
	adr	x1, nonce
	mov	x20, sp
	bl	load
	mov	w19, 2
	adr	x1, seen
	add	x20, sp, SIZE
	bl	load

	ldp	q0, q1, [sp]
	ldp	q2, q3, [sp, SIZE]
	eor	v0.16b, v0.16b, v2.16b
	eor	v1.16b, v1.16b, v3.16b
	stp	q0, q1, [sp]

	mov	w19, 3
	adr	x1, proof
	mov	w2, CREATE
	mov	w3, 0644
	bl	open
	mov	x1, sp
	mov	x2, SIZE
	mov	x8, WRITE
	svc	0
	cmp	x0, SIZE
	b.ne	fail
	mov	w19, 0
fail:	mov	w0, w19
	mov	x8, EXIT
	svc	0

// load reads SIZE bytes from the file named at x1 into the memory at x20.
load:	mov	x21, x30
	mov	w2, 0			// O_RDONLY
	bl	open
	mov	x1, x20
	mov	x2, SIZE
	mov	x8, READ
	svc	0
	cmp	x0, SIZE
	b.ne	fail
	ret	x21

// open opens the file named at x1 with the flags in w2 and the mode in w3.
open:	mov	w0, AT_FDCWD
	mov	x8, OPENAT
	svc	0
	tbnz	w0, 31, fail
	ret

nonce:	.asciz	"nonce"
seen:	.asciz	"seen"
proof:	.asciz	"proof"
