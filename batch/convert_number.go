package batch

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// integer describes an integer type: its bits without sign, and how many decimal digits they need.
type integer struct {
	bits   int
	signed bool
	digits int32
}

func integerOf(t arrow.DataType) (integer, bool) {
	switch t.ID() {
	case arrow.INT8:
		return integer{7, true, 3}, true
	case arrow.INT16:
		return integer{15, true, 5}, true
	case arrow.INT32:
		return integer{31, true, 10}, true
	case arrow.INT64:
		return integer{63, true, 19}, true
	case arrow.UINT8:
		return integer{8, false, 3}, true
	case arrow.UINT16:
		return integer{16, false, 5}, true
	case arrow.UINT32:
		return integer{32, false, 10}, true
	case arrow.UINT64:
		return integer{64, false, 20}, true
	}
	return integer{}, false
}

// integersOf reads integers of any width as 64 bits, sign extended.
func integersOf(arr arrow.Array) func(i int) uint64 {
	switch a := arr.(type) {
	case *array.Int8:
		return func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.Int16:
		return func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.Int32:
		return func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.Int64:
		return func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.Uint8:
		return func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.Uint16:
		return func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.Uint32:
		return func(i int) uint64 { return uint64(a.Value(i)) }
	}
	return arr.(*array.Uint64).Value
}

func castToInteger(from, to arrow.DataType) (cast, bool) {
	have, ok1 := integerOf(from)
	want, ok2 := integerOf(to)
	if !ok1 || !ok2 || want.bits < have.bits || have.signed && !want.signed {
		return nil, false
	}
	return func(arr arrow.Array, pool *Pool) (arrow.Array, error) {
		value := integersOf(arr)
		return build(arr, to, pool, func(c *Column, i int) {
			switch v := value(i); c.width {
			case 2:
				c.Uint16(uint16(v))
			case 4:
				c.Uint32(uint32(v))
			default:
				c.Uint64(v)
			}
		})
	}, true
}

func toFloat64(arr arrow.Array, pool *Pool) (arrow.Array, error) {
	a := arr.(*array.Float32)
	return build(arr, arrow.PrimitiveTypes.Float64, pool, func(c *Column, i int) {
		c.Uint64(math.Float64bits(float64(a.Value(i))))
	})
}

// castToDecimal converts integers and decimals where every value fits: as many digits
// before the point and after it.
func castToDecimal(from arrow.DataType, to arrow.DecimalType) (cast, bool) {
	var whole, scale int32
	var number func(arr arrow.Array) func(i int) decimal256.Num
	if t, ok := integerOf(from); ok {
		whole = t.digits
		number = func(arr arrow.Array) func(i int) decimal256.Num { return wideIntegers(arr, t.signed) }
	} else if t, ok := from.(arrow.DecimalType); ok {
		whole, scale = t.GetPrecision()-t.GetScale(), t.GetScale()
		number = wideDecimals
	} else {
		return nil, false
	}
	up := to.GetScale() - scale
	if up < 0 || to.GetPrecision()-to.GetScale() < whole {
		return nil, false
	}
	return func(arr arrow.Array, pool *Pool) (arrow.Array, error) {
		value := number(arr)
		return build(arr, to, pool, func(c *Column, i int) {
			v := value(i)
			if up > 0 {
				v = v.IncreaseScaleBy(up)
			}
			if words := v.Array(); c.width == 16 {
				c.Decimal128(int64(words[1]), words[0])
			} else {
				c.Decimal256(words)
			}
		})
	}, true
}

func wideIntegers(arr arrow.Array, signed bool) func(i int) decimal256.Num {
	value := integersOf(arr)
	if signed {
		return func(i int) decimal256.Num { return decimal256.FromI64(int64(value(i))) }
	}
	return func(i int) decimal256.Num { return decimal256.FromU64(value(i)) }
}

func wideDecimals(arr arrow.Array) func(i int) decimal256.Num {
	if a, ok := arr.(*array.Decimal256); ok {
		return a.Value
	}
	a := arr.(*array.Decimal128)
	return func(i int) decimal256.Num { return widen(a.Value(i)) }
}

func widen(v decimal128.Num) decimal256.Num {
	sign := uint64(v.HighBits() >> 63)
	return decimal256.New(sign, sign, uint64(v.HighBits()), v.LowBits())
}
