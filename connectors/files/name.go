package files

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
)

// maxNameBytes bounds a folder's name. File systems take 255 bytes.
const maxNameBytes = 200

// folderName is a name as every file system can hold it, and as a glob or a Hive-style
// reader takes it for nothing else: what could be misread is percent-encoded. Letters of all scripts stay as
// they are. Different names have different folders.
func folderName(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(name[i:], "\uFFFD"): // a byte that is not UTF-8
			fmt.Fprintf(&b, "%%%02X", name[i])
		case r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|%~=[]{}`, r),
			i == 0 && strings.ContainsRune("._ ", r), // hidden from readers, or ours
			i == len(name)-1 && strings.ContainsRune(". ", r):
			fmt.Fprintf(&b, "%%%02X", r)
		default:
			b.WriteRune(r)
		}
	}
	s := b.String()
	switch {
	case s == "":
		return "%"
	case len(s) <= maxNameBytes:
		return s
	}
	cut := maxNameBytes
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%s~%08x", s[:cut], uint32(xxh3.HashString(name)))
}

// freeFolder is the name's folder, or that with the first suffix that makes it unlike
// taken ones whatever the case.
func freeFolder(name string, taken func(folded string) bool) string {
	base := folderName(name)
	free := base
	for i := 2; taken(strings.ToLower(free)); i++ {
		free = fmt.Sprintf("%s~%d", base, i)
	}
	return free
}

// fileMark is in the name of every file of one epoch of one run. A glob that a swap of
// `current` splits in two then finds files missing, and never one half of each run.
func fileMark(run string, epoch int) string {
	return fmt.Sprintf("%08x", uint32(xxh3.HashString(fmt.Sprintf("%s %d", run, epoch))))
}
