package run

// hide keeps from a source's fault what variables have put into conditions: servers quote the SQL that they refuse.
func (s *Session) hide(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	hidden := text
	for _, rule := range s.req.Job.Tables {
		hidden = rule.Settings.Where.Hide(hidden)
	}
	if hidden == text {
		return err
	}
	return &hiddenError{text: hidden, err: err}
}

// hiddenError says something else than the error it stands for.
type hiddenError struct {
	text string
	err  error
}

func (e *hiddenError) Error() string { return e.text }

func (e *hiddenError) Unwrap() error { return e.err }
