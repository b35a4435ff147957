package batch

import "github.com/apache/arrow-go/v18/arrow"

// Keys of field metadata. They travel with a schema from source to destination.
const (
	KindKey    = "kitamae.kind"    // what a physical type stands for; see the Kind constants
	CommentKey = "kitamae.comment" // the column's comment at the source
	NativeKey  = "kitamae.native"  // the column's type in the source's own words
)

// Kinds refine a physical Arrow type. A destination that has a type of that kind may
// use it; one that hasn't keeps the physical type, which is lossless by itself.
const (
	KindJSON     = "json"     // utf8: JSON text as the source printed it
	KindUUID     = "uuid"     // utf8: 36 characters, lower case
	KindDecimal  = "decimal"  // utf8: a number without fixed scale, or NaN, Infinity, -Infinity
	KindGeometry = "geometry" // binary: WKB, without MySQL's leading SRID
	KindBit      = "bit"      // uint64 (MySQL) or utf8 (PostgreSQL, zeros and ones)
	KindYear     = "year"     // uint16
	KindEnum     = "enum"     // utf8
	KindSet      = "set"      // utf8: members joined by commas
	KindUnknown  = "unknown"  // utf8: the source's text form of a type kitamae does not know
)

// Field describes one column: its Arrow type, and as metadata its kind, native type
// and comment; empty ones are left out.
func Field(name string, t arrow.DataType, nullable bool, kind, native, comment string) arrow.Field {
	var keys, vals []string
	for _, kv := range [][2]string{{KindKey, kind}, {NativeKey, native}, {CommentKey, comment}} {
		if kv[1] != "" {
			keys, vals = append(keys, kv[0]), append(vals, kv[1])
		}
	}
	return arrow.Field{Name: name, Type: t, Nullable: nullable, Metadata: arrow.NewMetadata(keys, vals)}
}

// Meta reads one metadata key of a field, "" when it is absent.
func Meta(f arrow.Field, key string) string {
	v, _ := f.Metadata.GetValue(key)
	return v
}
