package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/kitamae/kitamae/conf"
)

// slackEscapes are the three characters that mean something in a Slack text.
var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slack(ctx context.Context, address conf.Secret, m Message) error {
	mark := map[Event]string{Failure: ":red_circle:", Recovery: ":large_green_circle:", Success: ":white_check_mark:"}[m.Event]
	body, err := json.Marshal(map[string]string{"text": mark + " *" + slackEscapes.Replace(m.Subject) + "*\n" + slackEscapes.Replace(m.Text)})
	if err != nil {
		return err
	}
	return post(ctx, address, body, http.Header{})
}

// send posts the message; whoever has the key can prove where it comes from, and when.
func (w Webhook) send(ctx context.Context, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	header := http.Header{}
	if w.Key != "" {
		at := strconv.FormatInt(m.Time.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(w.Key.Reveal()))
		mac.Write([]byte(at + "."))
		mac.Write(body)
		header.Set("X-Kitamae-Time", at)
		header.Set("X-Kitamae-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	return post(ctx, w.URL, body, header)
}

// post sends JSON. Its errors don't name the address, which is a secret.
func post(ctx context.Context, address conf.Secret, body []byte, header http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.Reveal(), bytes.NewReader(body))
	if err != nil {
		return errors.New("what is configured is not an address")
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			return ue.Err
		}
		return err
	}
	return answered(resp)
}
