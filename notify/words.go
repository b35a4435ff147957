package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// words are one language's.
type words struct {
	failure, recovery, success, partial string // subjects, with the config's name
	fresh, never, held, why, do, did    string
	moment                              string // a layout of package time
}

var languages = map[string]words{
	"en": {
		failure: "kitamae: %s failed", recovery: "kitamae: %s works again", success: "kitamae: %s is up to date", partial: "kitamae: %s held back %d tables",
		fresh: "Readers see the data of %s.", never: "Nothing was published yet.", held: "Not updated: %s", why: "What happened: %s", do: "What to do: %s",
		did: "%s tables, %s rows in %s s, verified.", moment: "2 January 2006 15:04 MST",
	},
	"ja": {
		failure: "kitamae: %s は失敗しました", recovery: "kitamae: %s は復旧しました", success: "kitamae: %s は最新です", partial: "kitamae: %s の %d テーブルは更新を見送りました",
		fresh: "現在見えているデータは %s 時点のものです。", never: "まだ一度も公開されていません。", held: "更新されていないテーブル: %s", why: "原因: %s", do: "対処: %s",
		did: "%s テーブル、%s 行を %s 秒で転送し、検証しました。", moment: "2006年1月2日 15:04 MST",
	},
}

// say puts the message into words.
func (m Message) say(language string, zone *time.Location) (subject, text string) {
	w, ok := languages[language]
	if !ok {
		w = languages["en"]
	}
	switch {
	case m.Event == Recovery:
		subject = fmt.Sprintf(w.recovery, m.Config)
	case m.Event == Success:
		subject = fmt.Sprintf(w.success, m.Config)
	case m.Tables > 0:
		subject = fmt.Sprintf(w.partial, m.Config, len(m.Held))
	default:
		subject = fmt.Sprintf(w.failure, m.Config)
	}
	lines := []string{m.Source + " → " + m.Destination}
	add := func(wanted bool, format string, args ...any) {
		if wanted {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	add(m.Tables > 0, w.did, strconv.Itoa(m.Tables), strconv.FormatInt(m.Rows, 10), strconv.FormatFloat(m.Seconds, 'f', 0, 64))
	add(len(m.Held) > 0, w.held, strings.Join(m.Held, ", "))
	add(!m.Fresh.IsZero(), w.fresh, m.Fresh.In(zone).Format(w.moment))
	add(m.Fresh.IsZero(), "%s", w.never)
	add(m.Error != "", w.why, m.Error)
	add(m.Hint != "", w.do, m.Hint)
	id := strings.TrimSpace(m.Run + " " + m.Code)
	add(id != "", "(%s)", id)
	return subject, strings.Join(lines, "\n")
}
