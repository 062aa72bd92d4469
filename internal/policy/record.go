package policy

import (
	"errors"
	"reflect"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/warder-gateway/warder/internal/risk"
)

// The types of principal, tool and client. No expression can name them, so that
// none can make a value of them.
const (
	principalType = "a principal"
	toolType      = "a tool, prompt or resource"
	clientType    = "a client"
)

// field reads one field of a record; nil stands for one that is absent.
type field func(e *evaluation) ref.Val

// records are the fields by type. What is not here does not compile.
var records = map[string]map[string]field{
	principalType: {
		"user":        func(e *evaluation) ref.Val { return text(e.principal.User) },
		"groups":      func(e *evaluation) ref.Val { return texts(e.principal.Groups) },
		"roles":       func(e *evaluation) ref.Val { return texts(e.principal.Roles) },
		"application": func(e *evaluation) ref.Val { return text(e.principal.Application) },
		"key":         func(e *evaluation) ref.Val { return text(e.principal.KeyID) },
		"issuer":      func(e *evaluation) ref.Val { return text(e.principal.Issuer) },
	},
	toolType: {
		"server": func(e *evaluation) ref.Val { return text(e.target.Server) },
		"name":   func(e *evaluation) ref.Val { return text(e.target.Name) },
		"kind":   func(e *evaluation) ref.Val { return text(e.target.Kind.String()) },
		"risk":   func(e *evaluation) ref.Val { return text(risk.Name(e.target.Risk)) },
	},
	clientType: {
		"name":    func(e *evaluation) ref.Val { return text(e.facts.Client.Name) },
		"version": func(e *evaluation) ref.Val { return text(e.facts.Client.Version) },
	},
}

// principalReads returns the bit of a field of the principal; all of them for one
// that does not exist.
func principalReads(field string) reads {
	switch field {
	case "user":
		return readsUser
	case "groups":
		return readsGroups
	case "roles":
		return readsRoles
	case "application":
		return readsApplication
	case "key":
		return readsKey
	case "issuer":
		return readsIssuer
	}
	return readsPrincipal
}

func text(s string) ref.Val {
	if s == "" {
		return nil
	}
	return types.String(s)
}

// texts returns a list in order and without repetitions: names of groups and roles
// have no order, so that none can decide.
func texts(list []string) ref.Val {
	if len(list) == 0 {
		return nil
	}
	return types.NewStringList(types.DefaultTypeAdapter, slices.Compact(slices.Sorted(slices.Values(list))))
}

// recordTypes tells CEL of the records, and of its own types.
type recordTypes struct {
	*types.Registry
	fields map[string]map[string]*types.FieldType
}

func newRecordTypes() *recordTypes {
	registry := types.NewEmptyRegistry()
	all := &recordTypes{Registry: registry, fields: map[string]map[string]*types.FieldType{}}
	for name, fields := range records {
		all.fields[name] = map[string]*types.FieldType{}
		for field, read := range fields {
			all.fields[name][field] = fieldType(field, read)
		}
	}
	return all
}

func fieldType(name string, read field) *types.FieldType {
	kind := cel.StringType
	if name == "groups" || name == "roles" {
		kind = cel.ListType(cel.StringType)
	}
	return &types.FieldType{
		Type:  kind,
		IsSet: func(e any) bool { of, ok := e.(*evaluation); return ok && read(of) != nil },
		GetFrom: func(e any) (any, error) {
			if of, ok := e.(*evaluation); ok {
				if value := read(of); value != nil {
					return value, nil
				}
			}
			return nil, errors.New(absentAttribute + name)
		},
	}
}

// FindStructType implements types.Provider.
func (t *recordTypes) FindStructType(name string) (*types.Type, bool) {
	if _, ours := t.fields[name]; ours {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return t.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (t *recordTypes) FindStructFieldNames(name string) ([]string, bool) {
	if fields, ours := t.fields[name]; ours {
		var names []string
		for field := range fields {
			names = append(names, field)
		}
		slices.Sort(names)
		return names, true
	}
	return t.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (t *recordTypes) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if fields, ours := t.fields[name]; ours {
		kind, found := fields[field]
		return kind, found
	}
	return t.Registry.FindStructFieldType(name, field)
}

// record is principal, tool or client of an evaluation, as CEL sees it: something
// with fields, and with nothing else that could be done with it.
type record struct {
	kind *types.Type
	of   *evaluation
}

var (
	principalKind = types.NewObjectType(principalType)
	toolKind      = types.NewObjectType(toolType)
	clientKind    = types.NewObjectType(clientType)
)

// ConvertToNative implements ref.Val.
func (r record) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("a record has no native form")
}

// ConvertToType implements ref.Val.
func (r record) ConvertToType(ref.Type) ref.Val { return types.NoSuchOverloadErr() }

// Equal implements ref.Val.
func (r record) Equal(ref.Val) ref.Val { return types.NoSuchOverloadErr() }

// Type implements ref.Val.
func (r record) Type() ref.Type { return r.kind }

// Value implements ref.Val.
func (r record) Value() any { return r.of }
