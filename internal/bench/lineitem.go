package main

import (
	"io"
	"strconv"
)

// table is TPC-H's lineitem, the same in both dialects.
const table = `CREATE TABLE lineitem (
	l_orderkey bigint NOT NULL,
	l_partkey int NOT NULL,
	l_suppkey int NOT NULL,
	l_linenumber int NOT NULL,
	l_quantity decimal(15,2) NOT NULL,
	l_extendedprice decimal(15,2) NOT NULL,
	l_discount decimal(15,2) NOT NULL,
	l_tax decimal(15,2) NOT NULL,
	l_returnflag char(1) NOT NULL,
	l_linestatus char(1) NOT NULL,
	l_shipdate date NOT NULL,
	l_commitdate date NOT NULL,
	l_receiptdate date NOT NULL,
	l_shipinstruct char(25) NOT NULL,
	l_shipmode char(10) NOT NULL,
	l_comment varchar(44) NOT NULL,
	PRIMARY KEY (l_orderkey, l_linenumber)
)`

var (
	instructs = []string{"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"}
	modes     = []string{"REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"}
	words     = []string{
		"furiously", "carefully", "slyly", "quickly", "blithely", "final", "regular", "special", "express", "ironic", "pending",
		"bold", "even", "silent", "unusual", "deposits", "requests", "accounts", "packages", "instructions", "theodolites",
		"foxes", "pinto beans", "dependencies", "platelets", "sleep", "haggle", "nag", "wake", "cajole", "among", "above", "the",
	}
)

// lineitem makes the table's rows as tab-separated text, the same bytes for the same number on any machine.
// Both MySQL's LOAD DATA and PostgreSQL's COPY take them as they are.
type lineitem struct {
	rows  int64
	seed  uint64
	dates []string // text of each day from 1992-01-01 on
}

func newLineitem(rows int64) *lineitem {
	return &lineitem{rows: rows, seed: 0x9E3779B97F4A7C15, dates: days(1992, 2800)}
}

// next is a step of xorshift64*, returning a number below n.
func (l *lineitem) next(n uint64) int {
	l.seed ^= l.seed >> 12
	l.seed ^= l.seed << 25
	l.seed ^= l.seed >> 27
	return int((l.seed * 0x2545F4914F6CDD1D >> 32) * n >> 32)
}

// WriteTo writes all rows in the order of the key, in pieces of about a megabyte.
func (l *lineitem) WriteTo(w io.Writer) (int64, error) {
	var written int64
	buf := make([]byte, 0, 1<<20+4096)
	for order, left := int64(0), l.rows; left > 0; order++ {
		key := order/8*32 + order%8 + 1 // sparse, as TPC-H's: eight of each thirty-two keys exist
		day := l.next(2400)
		for line := range min(int64(1+l.next(7)), left) {
			buf = l.appendRow(buf, key, line+1, day)
			left--
		}
		if len(buf) >= 1<<20 || left == 0 {
			n, err := w.Write(buf)
			written += int64(n)
			if err != nil {
				return written, err
			}
			buf = buf[:0]
		}
	}
	return written, nil
}

func (l *lineitem) appendRow(b []byte, key, line int64, day int) []byte {
	part := 1 + l.next(200_000)
	quantity := 1 + l.next(50)
	ship := day + 1 + l.next(121)
	b = append(strconv.AppendInt(b, key, 10), '\t')
	b = append(strconv.AppendInt(b, int64(part), 10), '\t')
	b = append(strconv.AppendInt(b, int64(1+l.next(10_000)), 10), '\t')
	b = append(strconv.AppendInt(b, line, 10), '\t')
	b = append(strconv.AppendInt(b, int64(quantity), 10), ".00\t"...)
	b = appendCents(b, int64(quantity)*int64(90_000+part/10%20_001+100*(part%1000)))
	b = appendCents(b, int64(l.next(11)))
	b = appendCents(b, int64(l.next(9)))
	flag, status := "N\t", "O\t"
	if ship < 1264 { // 1995-06-17, TPC-H's current date
		flag, status = "A\t", "F\t"
		if l.next(2) == 0 {
			flag = "R\t"
		}
	}
	b = append(append(b, flag...), status...)
	b = append(append(b, l.dates[ship]...), '\t')
	b = append(append(b, l.dates[day+30+l.next(61)]...), '\t')
	b = append(append(b, l.dates[ship+1+l.next(30)]...), '\t')
	b = append(append(b, instructs[l.next(4)]...), '\t')
	b = append(append(b, modes[l.next(7)]...), '\t')
	return append(l.appendComment(b), '\n')
}

// appendComment appends 10 to 43 bytes of words, cut anywhere, as TPC-H does.
func (l *lineitem) appendComment(b []byte) []byte {
	start, want := len(b), 10+l.next(34)
	for len(b)-start < want {
		b = append(append(b, words[l.next(uint64(len(words)))]...), ' ')
	}
	b = b[:start+want]
	if b[len(b)-1] == ' ' { // a trailing space would be lost in no one's sight
		b[len(b)-1] = 's'
	}
	return b
}

// appendCents appends n hundredths and a tab.
func appendCents(b []byte, n int64) []byte {
	b = strconv.AppendInt(b, n/100, 10)
	return append(b, '.', byte('0'+n/10%10), byte('0'+n%10), '\t')
}
