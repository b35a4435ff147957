package batch

import (
	"math/bits"
	"sync"
)

// Pool lends byte slices to builders and takes them back when the last reference to
// the batch made of them is gone, so that reading a table of any size allocates a few
// buffers, not one per batch. It is safe for many goroutines. It implements
// Arrow's memory.Allocator.
type Pool struct {
	mu   sync.Mutex
	free [40][][]byte // by power of two of the capacity
}

// keepPerSize bounds how many free slices of one size the pool holds on to.
const keepPerSize = 64

// Allocate returns a slice of the given length; its bytes are not cleared.
func (p *Pool) Allocate(size int) []byte {
	class := sizeClass(size)
	p.mu.Lock()
	defer p.mu.Unlock()
	if list := p.free[class]; len(list) > 0 {
		buf := list[len(list)-1]
		p.free[class] = list[:len(list)-1]
		return buf[:size]
	}
	return make([]byte, size, 1<<class)
}

// Reallocate returns a slice of the given length that starts with buf's bytes; buf goes back.
func (p *Pool) Reallocate(size int, buf []byte) []byte {
	if size <= cap(buf) {
		return buf[:size]
	}
	grown := p.Allocate(size)
	copy(grown, buf)
	p.Free(buf)
	return grown
}

// Free takes a slice back.
func (p *Pool) Free(buf []byte) {
	c := cap(buf)
	if c == 0 || c&(c-1) != 0 { // not one of ours
		return
	}
	class := bits.TrailingZeros(uint(c))
	p.mu.Lock()
	defer p.mu.Unlock()
	if class < len(p.free) && len(p.free[class]) < keepPerSize {
		p.free[class] = append(p.free[class], buf[:0])
	}
}

// sizeClass is the power of two that holds size, at least 64 bytes (Arrow's alignment).
func sizeClass(size int) int {
	if size <= 64 {
		return 6
	}
	return bits.Len(uint(size - 1))
}
