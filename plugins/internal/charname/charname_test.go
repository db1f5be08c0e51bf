package charname

import "testing"

func TestFind(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]rune{
		"LATIN SMALL LETTER E WITH ACUTE": 'é', "latin small letter e with acute": 'é', "GRINNING FACE": '😀', "SPACE": ' ',
		"CJK UNIFIED IDEOGRAPH-65E5": '日', "cjk unified ideograph-20000": 0x20000,
	} {
		if got, ok := Find(name); !ok || got != want {
			t.Errorf("%s is %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "NOBODY", "<control>", "CJK UNIFIED IDEOGRAPH-", "CJK UNIFIED IDEOGRAPH-0041", "CJK UNIFIED IDEOGRAPH-FFFFFFFFF"} {
		if got, ok := Find(name); ok {
			t.Errorf("%q is %q", name, got)
		}
	}
}
