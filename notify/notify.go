// Package notify tells people how a run ended. When there is something to tell is the caller's matter.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
)

// Spec says who is told, and where.
type Spec struct {
	// Slack is an incoming webhook's address: whoever has it can write there, so that it is a secret, such as secret:env:SLACK_WEBHOOK.
	Slack conf.Secret `yaml:"slack" json:"slack"`
	// Webhook is an address of yours that gets the message as JSON.
	Webhook Webhook `yaml:"webhook" json:"webhook"`
	// Email goes to people, over your mail server or Amazon SES.
	Email Email `yaml:"email" json:"email"`
	// SNS is an Amazon SNS topic's ARN.
	SNS string `yaml:"sns" json:"sns,omitempty"`
	// Success also tells of runs that went well. Left out, only failures and the first success after one are told.
	Success bool `yaml:"success" json:"success,omitempty"`
	// Language is the messages' own: en, the default, or ja.
	Language string `yaml:"language" json:"language,omitempty" conf:"enum=en|ja"`
}

// Webhook is an address of one's own.
type Webhook struct {
	// URL gets a POST with the message as JSON.
	URL conf.Secret `yaml:"url" json:"url"`
	// Key signs the body: the header X-Kitamae-Signature is sha256= and the HMAC-SHA256 in hex, over the header X-Kitamae-Time, a dot, and the body.
	Key conf.Secret `yaml:"key" json:"key"`
}

// Email is a message to people.
type Email struct {
	// To lists who gets it.
	To []string `yaml:"to" json:"to,omitempty"`
	// From is the sender.
	From string `yaml:"from" json:"from,omitempty"`
	// SMTP is the mail server. Left out, it is Amazon SES with this machine's or role's rights.
	SMTP SMTP `yaml:"smtp" json:"smtp"`
}

// SMTP is a mail server.
type SMTP struct {
	// Host is its name. Its certificate is checked: over STARTTLS, or from the start on port 465. Only a server on this machine may have none.
	Host string `yaml:"host" json:"host,omitempty"`
	// Port is 587 where it is left out.
	Port int `yaml:"port" json:"port,omitempty" conf:"min=1,max=65535"`
	// User logs in; left out, nobody does.
	User string `yaml:"user" json:"user,omitempty"`
	// Password is a secret reference, such as secret:env:SMTP_PASSWORD.
	Password conf.Secret `yaml:"password" json:"password"`
}

// Given says whether anybody is to be told anything.
func (s Spec) Given() bool {
	return s.Slack != "" || s.Webhook.URL != "" || len(s.Email.To) > 0 || s.SNS != ""
}

// Check lists what is wrong with the spec by itself: paths below notify, and words.
func (s Spec) Check() [][2]string {
	var problems [][2]string
	if len(s.Email.To) > 0 && s.Email.From == "" {
		problems = append(problems, [2]string{"email.from", "an e-mail needs a sender"})
	}
	if len(s.Email.To) == 0 && (s.Email.From != "" || s.Email.SMTP.Host != "") {
		problems = append(problems, [2]string{"email.to", "an e-mail needs somebody to go to"})
	}
	if s.Webhook.Key != "" && s.Webhook.URL == "" {
		problems = append(problems, [2]string{"webhook.url", "a key needs an address"})
	}
	return problems
}

// Event is why people are told.
type Event string

// What is told.
const (
	Failure  Event = "failure"
	Recovery Event = "recovery" // the first success after a failure
	Success  Event = "success"
)

// Message is what is told, as data: a webhook gets it as it is.
type Message struct {
	Event       Event     `json:"event"`
	Config      string    `json:"config"`
	Source      string    `json:"source"`
	Destination string    `json:"destination"`
	Run         string    `json:"run,omitempty"` // "" where none began
	Time        time.Time `json:"time"`          // UTC
	Tables      int       `json:"tables"`        // that were published
	Rows        int64     `json:"rows"`
	Seconds     float64   `json:"seconds"`
	// Held are the tables that were not published.
	Held []string `json:"held,omitempty"`
	// Fresh is the moment whose data readers see, zero when nothing was ever published.
	Fresh time.Time `json:"fresh,omitzero"`
	Error string    `json:"error,omitempty"`
	Hint  string    `json:"hint,omitempty"`
	Code  string    `json:"code,omitempty"`
	// Subject and Text are the message in the config's language and the business day's zone. [Spec.Send] fills them in.
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

// within bounds one telling: a run must not wait for a chat.
const within = 30 * time.Second

// Send tells everybody named in the spec, and returns all that went wrong. The spec's secrets must have been looked up. zone is
// the business day's.
func (s Spec) Send(ctx context.Context, m Message, zone *time.Location) error {
	m.Subject, m.Text = m.say(s.Language, zone)
	var problems []error
	tell := func(who string, wanted bool, send func(context.Context) error) {
		if !wanted {
			return
		}
		ctx, stop := context.WithTimeout(ctx, within)
		defer stop()
		if err := send(ctx); err != nil {
			problems = append(problems, fmt.Errorf("tell by %s: %w", who, err))
		}
	}
	tell("slack", s.Slack != "", func(ctx context.Context) error {
		return fault.Wrap(fault.Config, "notify.slack", "check notify.slack in the config", slack(ctx, s.Slack, m))
	})
	tell("webhook", s.Webhook.URL != "", func(ctx context.Context) error {
		return fault.Wrap(fault.Config, "notify.webhook", "check notify.webhook in the config", s.Webhook.send(ctx, m))
	})
	tell("email", len(s.Email.To) > 0, func(ctx context.Context) error {
		return fault.Wrap(fault.Config, "notify.email", "check notify.email in the config", s.Email.send(ctx, m))
	})
	tell("sns", s.SNS != "", func(ctx context.Context) error {
		return fault.Wrap(fault.Config, "notify.sns", "check notify.sns in the config", topic(ctx, s.SNS, m))
	})
	return errors.Join(problems...)
}

// answered makes an error of an answer that is not good.
func answered(resp *http.Response) error {
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	return nil
}
