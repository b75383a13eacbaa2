# The step for linux/amd64. runstep.go says what it does; assemble makes amd64.elf.
# A system call takes its number in rax, arguments in rdi, rsi, rdx, r10, and
# answers in rax, negative for an error.

	.intel_syntax noprefix
	.globl	_start
	.text

	.equ	READ, 0
	.equ	WRITE, 1
	.equ	OPENAT, 257
	.equ	EXIT, 60
	.equ	AT_FDCWD, -100
	.equ	CREATE, 0301		# O_WRONLY | O_CREAT | O_EXCL
	.equ	SIZE, 32

_start:	sub	rsp, 2*SIZE
	mov	ebx, 1			# the exit status tells which step failed
	lea	rsi, nonce[rip]
	mov	r12, rsp
	call	load
	mov	ebx, 2
	lea	rsi, seen[rip]
	lea	r12, [rsp+SIZE]
	call	load

	xor	ecx, ecx
mix:	mov	rax, [rsp+SIZE+rcx*8]
	xor	[rsp+rcx*8], rax
	inc	ecx
	cmp	ecx, SIZE/8
	jne	mix

	mov	ebx, 3
	lea	rsi, proof[rip]
	mov	edx, CREATE
	mov	r10d, 0644
	call	open
	mov	edi, eax
	mov	rsi, rsp
	mov	edx, SIZE
	mov	eax, WRITE
	syscall
	cmp	rax, SIZE
	jne	fail
	xor	ebx, ebx
fail:	mov	edi, ebx
	mov	eax, EXIT
	syscall

# load reads SIZE bytes from the file named at rsi into the memory at r12.
load:	xor	edx, edx		# O_RDONLY
	call	open
	mov	edi, eax
	mov	rsi, r12
	mov	edx, SIZE
	mov	eax, READ
	syscall
	cmp	rax, SIZE
	jne	fail
	ret

# open opens the file named at rsi with the flags in edx and the mode in r10d.
open:	mov	edi, AT_FDCWD
	mov	eax, OPENAT
	syscall
	test	eax, eax
	js	fail
	ret

nonce:	.asciz	"nonce"
seen:	.asciz	"seen"
proof:	.asciz	"proof"
