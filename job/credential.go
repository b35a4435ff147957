package job

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// credentialWords are words that by themselves make a column a credential, in any of the
// ways names are put together: reset_token, resetToken, RESET-TOKEN, ResetTokens.
var credentialWords = words(`password passwords passwd passphrase passcode pwd pw passhash
	token tokens secret secrets digest digests salt salts credential credentials
	otp totp hotp mfa 2fa tfa u2f cvv cvc cvv2 jwt pin pincode apikey apikeys
	privatekey secretkey accesskey anshou ansho anshobango`)

// credentialPairs are neighbouring words that together make one.
var credentialPairs = words(`api-key api-keys private-key private-keys secret-key access-key signing-key encryption-key
	auth-key ssh-key hmac-key recovery-code recovery-codes backup-code backup-codes auth-code verification-code
	reset-code security-code security-answer one-time pass-code pass-phrase pass-word pass-hash pass-key 2-fa u2-f`)

// credentialParts are telling enough to be looked for inside words written together, as in "userpasswordhash".
var credentialParts = []string{
	"password", "passwd", "passphrase", "apikey", "privatekey", "secretkey", "accesstoken", "refreshtoken", "authtoken",
}

// credentialEnds are telling at the end of a word, as in "clientsecret".
var credentialEnds = []string{"token", "tokens", "secret", "pwd"}

// credentialJapanese are looked for anywhere, as Japanese has no spaces between words.
var credentialJapanese = []string{
	"パスワード", "パスフレーズ", "パスコード", "暗証", "トークン", "シークレット", "秘密", "合言葉", "ダイジェスト",
	"認証コード", "認証キー", "認証鍵", "認証情報", "確認コード", "リセットコード", "セキュリティコード", "APIキー", "アクセスキー",
	"資格情報", "ワンタイム", "二段階認証", "二要素認証", "多要素認証", "署名鍵", "暗号鍵", "暗号化キー", "復旧コード", "リカバリーコード", "バックアップコード",
}

// credentialKatakana must be whole runs of katakana: ソルト is also a part of other words.
var credentialKatakana = words("ソルト ピン")

// LooksLikeCredential says whether a column's name promises something that lets one in:
// a password, token, secret, digest, salt, key or one-time code, in English or Japanese.
// It errs on the side of leaving out: token_count counts too, as a config names such a
// column in one line, and a leaked credential can't be called back.
func LooksLikeCredential(column string) bool {
	name := norm.NFKC.String(column) // full-width letters, half-width katakana
	for _, part := range credentialJapanese {
		if strings.Contains(strings.ToUpper(name), part) {
			return true
		}
	}
	split := splitWords(name)
	for i, w := range split {
		if credentialWords[w] || credentialKatakana[w] || i > 0 && credentialPairs[split[i-1]+"-"+w] {
			return true
		}
		if w == "pass" && i == len(split)-1 { // user_pass, but not pass_rate
			return true
		}
		if containsAny(w, credentialParts, strings.Contains) || containsAny(w, credentialEnds, strings.HasSuffix) {
			return true
		}
	}
	return false
}

func containsAny(w string, parts []string, in func(s, part string) bool) bool {
	for _, part := range parts {
		if in(w, part) {
			return true
		}
	}
	return false
}

// splitWords takes a name apart, lower case: at everything but letters and digits, where
// capitals begin a word (apiKey, APIKey), and where katakana begins or ends.
func splitWords(name string) []string {
	var out []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			out = append(out, strings.ToLower(string(word)))
		}
		word = nil
	}
	runes := []rune(name)
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != 'ー' {
			end()
			continue
		}
		if i > 0 && len(word) > 0 {
			before := runes[i-1]
			nextLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			begins := unicode.IsUpper(r) && (unicode.IsLower(before) || unicode.IsDigit(before) || unicode.IsUpper(before) && nextLower)
			if begins || katakana(r) != katakana(before) {
				end()
			}
		}
		word = append(word, r)
	}
	end()
	return out
}

func katakana(r rune) bool { return unicode.Is(unicode.Katakana, r) || r == 'ー' }

func words(list string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(list) {
		m[w] = true
	}
	return m
}
