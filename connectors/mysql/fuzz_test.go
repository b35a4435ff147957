package mysql

import (
	"bytes"
	"errors"
	"net"
	"net/url"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// FuzzAnswer reads whatever a hostile server may send for column definitions and the rows after them: it ends in
// rows or an error, never in a panic.
func FuzzAnswer(f *testing.F) {
	seq := byte(1)
	definition := append(bytes.Join([][]byte{short("def"), short("db"), short("t"), short("t"), short("id"), short("id"), {0x0c}}, nil),
		63, 0, 11, 0, 0, 0, 3, 3, 0, 0, 0, 0)
	whole := frame(&seq, definition)
	whole = append(whole, frame(&seq, []byte{0xfe, 0, 0, 2, 0})...)
	whole = append(whole, frame(&seq, rowOf(le(4, 7)))...)
	whole = append(whole, frame(&seq, []byte{0xfe, 0, 0, 2, 0})...)
	f.Add(whole, uint8(1))
	f.Add(whole[:len(whole)/2], uint8(1))
	f.Add(append([]byte{9, 0, 0, 1, 0xff, 0x15, 4, '#'}, "28000"...), uint8(2))
	f.Add([]byte{0xff, 0xff, 0xff, 1, 0xfe}, uint8(255))
	f.Fuzz(func(t *testing.T, stream []byte, columns uint8) {
		near, far := net.Pipe()
		far.Close()
		st := &statement{c: &conn{raw: near}}
		st.c.in.start(bytes.NewReader(stream))
		if _, err := st.c.in.definitions(int(columns)); err != nil {
			return
		}
		for {
			if _, err := st.row(); err != nil {
				var my *mysql.MyError
				if st.c.broken == errors.As(err, &my) && !st.ended {
					t.Errorf("broken %v after %v", st.c.broken, err)
				}
				return
			}
		}
	})
}

// FuzzURL makes specs out of whatever people type.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"mysql://u:p@h:3306/db?tls=off", "mariadb://u@[::1]/db", "mysql://h", "mysql:///db?socket=/s", "mysql://u:p%40@h:99999/db"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		spec, err := fromURL(u)
		if err != nil {
			return
		}
		if s := spec.(*Spec); s.User == "" || s.Database == "" || s.Host == "" && s.Socket == "" || s.Port < 1 || s.Port > 65535 {
			t.Errorf("%q became %+v", text, s)
		}
	})
}
