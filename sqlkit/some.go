package sqlkit

import (
	"fmt"
	"strings"
)

// mostNamed is how many names a message lists.
const mostNamed = 5

// Some lists names for a message: all of a few, the first and the number of the rest of many.
func Some(names []string) string {
	if more := len(names) - mostNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}
