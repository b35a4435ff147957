package connector

import "fmt"

// FreeName is name, or name with the first suffix that no name in taken has, which it joins. The keys of taken are folded: names
// that fold to the same are the same to the destination. A name that is empty becomes "column".
func FreeName(name string, taken map[string]bool, fold func(string) string) string {
	if name == "" {
		name = "column"
	}
	free := name
	for i := 2; taken[fold(free)]; i++ {
		free = fmt.Sprintf("%s_%d", name, i)
	}
	taken[fold(free)] = true
	return free
}
