package job

import (
	"strings"
	"testing"
)

func TestLooksLikeCredential(t *testing.T) {
	for _, tc := range []struct {
		columns string // separated by spaces
		want    bool
	}{
		{"password Password PASSWORD passwd pwd encrypted_password password_digest passwordHash user_pass userpassword hashed_password_v2", true},
		{"token reset_token resetToken RESET-TOKEN api_tokens accesstoken refreshToken token_count csrf.token", true},
		{"secret client_secret clientsecret SecretKey secret_access_key secrets", true},
		{"digest sha_digest salt password_salt passwordSalt PasswordSALT", true},
		{"api_key apiKey APIKey apikey ApiKeys API-KEY private_key privateKey ssh_private_key_pem signing_key encryption_key", true},
		{"otp otp_secret mfa_enabled totp 2fa 2fa_code u2f_key tfa cvv cvc pin pin_code PIN recovery_codes backup_code security_answer jwt credentials", true},
		{"パスワード 利用者パスワード パスワードハッシュ ﾊﾟｽﾜｰﾄﾞ 暗証番号 トークン アクセストークン 秘密鍵 秘密の質問 ソルト パスワード_ソルト ダイジェスト 認証コード ＡＰＩキー apiキー 合言葉 ｐａｓｓｗｏｒｄ ログイントークン値 暗証ピン", true},
		{"id name email created_at key key_id public_key primary_key keyboard api_url", false},
		{"digestive assault basalt saltwater saltiness secretary secretariat tokenizer tokyo broken", false},
		{"passport passage pass_rate passed compass bypass_flag pinned pincushion spinning shipping opinion", false},
		{"cotp motps mfaculty hotpot laptop", false},
		{"名前 メールアドレス 住所 コンソルト リソルト ピンク スピン 鍵盤 利用者番号 キーワード パスポート番号 認証日時", false},
		{"", false},
	} {
		for _, c := range strings.Fields(tc.columns) {
			if got := LooksLikeCredential(c); got != tc.want {
				t.Errorf("LooksLikeCredential(%q) = %v, want %v", c, got, tc.want)
			}
		}
	}
}
