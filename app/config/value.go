package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span in the text form of Go: "15s", "2m30s".
type Duration time.Duration

func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Count is a whole number, 0 or more.
type Count int

func (n Count) String() string { return strconv.Itoa(int(n)) }

// Amount is an amount of US dollars, 0 to 1,000,000, as written; "" is none.
type Amount string

func (a Amount) String() string { return string(a) }

// Dollars is the amount, and whether there is one.
func (a Amount) Dollars() (float64, bool) {
	n, err := strconv.ParseFloat(string(a), 64)
	return n, err == nil
}

func parseAmount(text string) (Amount, error) {
	t := strings.TrimSpace(text)
	if t == "" {
		return "", nil
	}
	n, err := strconv.ParseFloat(t, 64)
	if err != nil || !(n >= 0 && n <= 1e6) || strings.ContainsAny(t, "xXpP_+") {
		return "", fmt.Errorf("%q is not an amount of dollars: write a number from 0 to 1000000, such as 2.50", text)
	}
	return Amount(t), nil
}

// Size is a number of bytes: "32MiB", "512KiB", or a plain number.
type Size int64

var units = []struct {
	suffix string
	factor int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func (s Size) String() string {
	for _, u := range units {
		if int64(s)%u.factor == 0 && s != 0 && u.factor > 1 {
			return strconv.FormatInt(int64(s)/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

func parseSize(text string) (Size, error) {
	t := strings.TrimSpace(text)
	factor := int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(t, u.suffix); ok {
			t, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n < 0 || n > (1<<40)/factor {
		return 0, fmt.Errorf("%q is not a size: write a number of bytes, or one with KiB, MiB or GiB", text)
	}
	return Size(n * factor), nil
}

// set puts a text into a scalar field, or a comma list into a list of texts.
func set(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *[]string:
		*p = nil
		for _, s := range strings.Split(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				*p = append(*p, s)
			}
		}
	case *Duration:
		d, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("%q is not a duration: write 15s, 2m or 1h", text)
		}
		*p = Duration(d)
	case *Size:
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		*p = n
	case *Amount:
		a, err := parseAmount(text)
		if err != nil {
			return err
		}
		*p = a
	case *Count:
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
		if err != nil {
			return fmt.Errorf("%q is not a whole number of 0 or more", text)
		}
		*p = Count(n)
	default:
		return fmt.Errorf("cannot be given as one value")
	}
	return nil
}

// field finds the field of a struct by its name in the file.
func field(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "" && tag == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// names lists the fields that a struct has in the file.
func names(v reflect.Value) []string {
	var out []string
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "" {
			out = append(out, tag)
		}
	}
	return out
}

// each calls fn for every value that a variable or a flag can set, with its
// path. Lists of sections (upstreams, models) are left out.
func each(v reflect.Value, prefix string, fn func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		if tag == "" {
			continue
		}
		f, path := v.Field(i), join(prefix, tag)
		switch {
		case f.Kind() == reflect.Struct:
			each(f, path, fn)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
		default:
			fn(path, f)
		}
	}
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
