package conf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/kitamae/kitamae/fault"
)

// Store returns the secret behind a name. Its errors are faults, and never show a secret.
type Store func(ctx context.Context, name string) (string, error)

// Stores are the places that keep secrets, by the second word of a reference.
type Stores map[string]Store

// LocalStores are those that need no network: env, and file, whose relative paths start at dir.
func LocalStores(dir string, lookupEnv func(name string) (string, bool)) Stores {
	return Stores{
		"env":  func(_ context.Context, name string) (string, error) { return secretVariable(lookupEnv, name) },
		"file": func(_ context.Context, name string) (string, error) { return secretFile(dir, name) },
	}
}

// Resolve looks up every reference in the struct that spec points to and puts the secrets in their place, without
// touching what the struct shares with the config it was copied from: maps, lists and what pointers lead to are
// replaced, not changed. Call it as late as can be, on a copy that nothing prints.
func Resolve(ctx context.Context, spec any, stores Stores) error {
	r := resolver{ctx: ctx, stores: stores}
	v := reflect.ValueOf(spec).Elem()
	v.Set(r.value(v))
	return errors.Join(r.errs...)
}

type resolver struct {
	ctx    context.Context
	stores Stores
	errs   []error
}

// value is v with its secrets looked up.
func (r *resolver) value(v reflect.Value) reflect.Value {
	switch {
	case v.Type() == reflect.TypeFor[Secret]():
		return reflect.ValueOf(r.lookUp(v.Interface().(Secret)))
	case !holdsSecrets(v.Type()):
		return v
	}
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Struct:
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(r.value(v.Field(i)))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(r.value(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(r.value(v.Index(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for _, k := range v.MapKeys() {
				out.SetMapIndex(k, r.value(v.MapIndex(k)))
			}
		}
	}
	return out
}

// holdsSecrets says whether there can be a Secret in a t.
func holdsSecrets(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && holdsSecrets(f.Type) {
				return true
			}
		}
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return holdsSecrets(t.Elem())
	}
	return t == reflect.TypeFor[Secret]()
}

func (r *resolver) lookUp(s Secret) Secret {
	ref, ok := s.reference()
	if !ok {
		return s
	}
	store := r.stores[ref.store]
	if store == nil {
		store = func(context.Context, string) (string, error) {
			return "", fault.New(fault.Internal, "secret.store", "", "nothing here looks up %s secrets", ref.store)
		}
	}
	text, err := store(r.ctx, ref.name)
	if err == nil && text == "" {
		err = fault.New(fault.Config, "secret.missing", "give it a value where it is kept", "the secret %s:%s is empty", ref.store, ref.name)
	}
	if err == nil && strings.HasPrefix(text, unresolved) {
		err = fault.New(fault.Config, "secret.missing", "store it as text", "the secret %s:%s begins with a zero byte", ref.store, ref.name)
	}
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %s: %w", ref.at, ref.path, err))
	}
	return Secret(text)
}

func secretVariable(lookupEnv func(string) (string, bool), name string) (string, error) {
	if lookupEnv != nil {
		if value, ok := lookupEnv(name); ok && value != "" {
			return value, nil
		}
	}
	return "", fault.New(fault.Config, "secret.missing", "set "+name+" where kitamae runs",
		"the environment variable %s, which holds the secret, is not set", name)
}

// secretFile reads a secret from a file, without the line end that editors and echo add.
func secretFile(dir, name string) (string, error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	data, err := os.ReadFile(path)
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	if err != nil {
		return "", fault.Wrap(fault.Config, "secret.missing", "check the file's path and who may read it", fmt.Errorf("read the secret's file %s: %w", path, err))
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", fault.New(fault.Config, "secret.missing", "write the secret into it", "the secret's file %s is empty", path)
	}
	return text, nil
}
