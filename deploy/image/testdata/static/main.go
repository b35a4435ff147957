// Command static is a program that builds without a C compiler, for tests of images.
package main

import (
	"fmt"

	"golang.org/x/text/unicode/norm"
)

func main() { fmt.Println(norm.NFC.String("static")) }
