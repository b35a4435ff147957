package bigquery

import (
	"context"
	"fmt"
	"math/big"
	"time"

	bq "cloud.google.com/go/bigquery"
)

// tellsPartition looks whether the metadata of table$partition are the partition's own, and know no policies: rows that are hidden are told by them.
func (s *scratch) tellsPartition(ctx context.Context) (string, error) {
	if err := s.days(ctx, "told"); err != nil {
		return "", err
	}
	if _, _, err := s.query(ctx, "CREATE ROW ACCESS POLICY nobody ON told GRANT TO ('domain:example.com') FILTER USING (id < 0)"); err != nil {
		return "", err
	}
	md, err := s.dataset.Table("told$20260102").Metadata(ctx)
	if err == nil && (md.NumRows != 1 || md.NumBytes == 0) {
		err = otherwise("a partition of one row has %d rows and %d bytes", md.NumRows, md.NumBytes)
	}
	if err != nil {
		return "", err
	}
	md, err = s.dataset.Table("told$20260103").Metadata(ctx)
	if err == nil && md.NumRows != 0 {
		err = otherwise("a partition that is not there has %d rows", md.NumRows)
	}
	if status(err) == 404 {
		err = nil
	}
	return "also those that a policy hides", err
}

// returnsValues looks whether values read by tabledata.list are those that were loaded.
func (s *scratch) returnsValues(ctx context.Context) (string, error) {
	numeric, bignumeric := "-99999999999999999999999999999.999999999", "12345678901234567890.123456789012345678"
	values := []struct {
		typ        bq.FieldType
		sent, want string
	}{
		{bq.IntegerFieldType, `"-9223372036854775808"`, "-9223372036854775808"}, {bq.BooleanFieldType, "false", "false"},
		{bq.StringFieldType, `"日本 \u0001\u2028<&>"`, "日本 \x01\u2028<&>"}, {bq.BytesFieldType, `"AP8K"`, "\x00\xff\n"},
		{bq.NumericFieldType, `"` + numeric + `"`, numeric}, {bq.BigNumericFieldType, `"` + bignumeric + `"`, bignumeric},
		{bq.DateFieldType, `"0001-01-01"`, "0001-01-01"}, {bq.TimeFieldType, `"23:59:59.999999"`, "23:59:59.999999000"},
		{bq.DateTimeFieldType, `"9999-12-31T23:59:59.999999"`, "9999-12-31T23:59:59.999999000"}, {bq.TimestampFieldType, `"1969-12-31T23:59:59.999999Z"`, "-1"},
		{bq.StringFieldType, "null", "<nil>"},
	}
	var schema bq.Schema
	row := ""
	for i, v := range values {
		name := fmt.Sprintf("c%d", i)
		schema = append(schema, &bq.FieldSchema{Name: name, Type: v.typ})
		row += fmt.Sprintf(`,"%s":%s`, name, v.sent)
	}
	if err := s.load(ctx, "returned", "{"+row[1:]+"}\n", schema, nil); err != nil {
		return "", err
	}
	var got []bq.Value
	if err := s.dataset.Table("returned").Read(ctx).Next(&got); err != nil {
		return "", err
	}
	for i, v := range values {
		if i >= len(got) || returned(got[i]) != v.want {
			return "", otherwise("of %s %s comes back %v", v.typ, v.sent, got)
		}
	}
	return "of all types that are read back, to the last digit", nil
}

// returned is a value as text.
func returned(v bq.Value) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case *big.Rat:
		digits, _ := v.FloatPrec()
		return v.FloatString(digits)
	case time.Time:
		return fmt.Sprint(v.UnixMicro())
	}
	return fmt.Sprint(v)
}
