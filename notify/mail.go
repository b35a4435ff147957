package notify

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/wneessen/go-mail"

	"github.com/kitamae/kitamae/awsauth"
)

func (e Email) send(ctx context.Context, m Message) error {
	if e.SMTP.Host == "" {
		return e.ses(ctx, m)
	}
	msg := mail.NewMsg()
	if err := msg.From(e.From); err != nil {
		return err
	}
	if err := msg.To(e.To...); err != nil {
		return err
	}
	msg.Subject(m.Subject)
	msg.SetDate()
	msg.SetMessageID()
	msg.SetBodyString(mail.TypeTextPlain, m.Text+"\n")
	port := e.SMTP.Port
	if port == 0 {
		port = mail.DefaultPortTLS
	}
	policy := mail.TLSMandatory
	if e.SMTP.Host == "localhost" || e.SMTP.Host == "127.0.0.1" || e.SMTP.Host == "::1" {
		policy = mail.TLSOpportunistic
	}
	options := []mail.Option{mail.WithTLSPolicy(policy), mail.WithPort(port), mail.WithTimeout(within)}
	if port == mail.DefaultPortSSL {
		options = append(options, mail.WithSSL())
	}
	if e.SMTP.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(e.SMTP.User), mail.WithPassword(e.SMTP.Password.Reveal()))
	}
	c, err := mail.NewClient(e.SMTP.Host, options...)
	if err != nil {
		return err
	}
	return c.DialAndSendWithContext(ctx, msg)
}

func (e Email) ses(ctx context.Context, m Message) error {
	cfg, err := awsauth.Config(ctx, "")
	if err != nil {
		return err
	}
	utf8 := "UTF-8"
	content := func(s string) *types.Content { return &types.Content{Data: &s, Charset: &utf8} }
	_, err = sesv2.NewFromConfig(cfg).SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: &e.From, Destination: &types.Destination{ToAddresses: e.To},
		Content: &types.EmailContent{Simple: &types.Message{Subject: content(m.Subject), Body: &types.Body{Text: content(m.Text)}}},
	})
	return err
}

// topicSubject is how long SNS lets a subject be; only ASCII may stand in it.
const topicSubject = 100

func topic(ctx context.Context, arn string, m Message) error {
	cfg, err := awsauth.Config(ctx, regionOf(arn))
	if err != nil {
		return err
	}
	subject := "kitamae: " + string(m.Event)
	text := m.Subject + "\n\n" + m.Text
	if ascii(m.Subject) && len(m.Subject) <= topicSubject {
		subject = m.Subject
	}
	_, err = sns.NewFromConfig(cfg).Publish(ctx, &sns.PublishInput{TopicArn: &arn, Subject: &subject, Message: &text})
	return err
}

func ascii(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return true
}

// regionOf is the region in an ARN, "" where there is none.
func regionOf(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) > 3 {
		return parts[3]
	}
	return ""
}
