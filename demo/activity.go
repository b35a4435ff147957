package demo

import (
	"fmt"
	"strings"
)

const (
	topics   = "自己紹介,会議の英語,Small talk,発音,プレゼン,メール,面接対策,ニュース・ディスカッション"
	memos    = "単語アプリ 30分,シャドーイングが楽しい😊,今日は眠かった…,文法のまとめ,Podcastを2本聴いた,過去問 Part 7,コーチの宿題,「have been」の使い方,通勤中に音読 🚃"
	comments = "とても良くなりました！,時制に注意しましょう。,語彙が増えてきました👏,発音をもう少し。,Great job! 次回も楽しみにしています。"
	openings = "お疲れさまです。,こんにちは！,ありがとうございます😊,承知しました。,すみません、,いつもお世話になっております。"
	bodies   = "今日の課題を提出しました。,明日のレッスンの時間を変更できますか？,この表現の違いを教えてください：“affect” と “effect”,今週は45分ずつ進めてみましょう。,添削しました。ご確認ください。,発音の録音を送ります🎤,目標まであと少しです、がんばりましょう💪"
)

// Weights of the days from Sunday: office workers study on weekdays and have lessons at weekends.
func studyWeek() [7]float64  { return [7]float64{0.7, 1.15, 1.2, 1.15, 1.1, 0.9, 0.6} }
func lessonWeek() [7]float64 { return [7]float64{1.4, 0.8, 0.9, 0.9, 0.9, 0.8, 1.5} }

// coachOf is the user's own coach, or one who stands in.
func (w *world) coachOf(who int) int {
	if c := w.users[who].coach; c > 0 {
		return c
	}
	return 1 + who%w.coaches
}

// writeLessons writes lessons and, for most that took place, an evaluation.
func (w *world) writeLessons() error {
	subjects, remarks := strings.Split(topics, ","), strings.Split(comments, ",")
	lessons := w.out.table("lessons", "id", "user_id", "coach_id", "starts_at", "minutes", "topic", "status", "created_at")
	type held struct{ lesson, who, day int }
	var done []held
	id := 0
	w.timeline(w.sizes.lessons, lessonWeek(), func(day, who int) {
		id++
		status := "done"
		switch w.rnd.IntN(20) {
		case 0:
			status = "canceled"
		case 1:
			status = "no_show"
		default:
			done = append(done, held{id, who, day})
		}
		second := (7+w.rnd.IntN(16))*3600 + 1800*w.rnd.IntN(2)
		lessons.add(id, who+1, w.coachOf(who), w.stamp(day, second)[:19], pick(w.rnd, []int{25, 25, 50}), pick(w.rnd, subjects), status,
			w.stamp(max(w.users[who].first, day-w.rnd.IntN(7)), w.evening()))
	})
	if err := lessons.finish(); err != nil {
		return err
	}
	t := w.out.table("evaluations", "id", "lesson_id", "user_id", "fluency", "vocabulary", "grammar", "pronunciation", "comment", "created_at")
	n := min(len(done), w.sizes.scores)
	for i := range n {
		d := done[i*len(done)/n]
		better := min(25, (d.day-w.users[d.who].first)/12) // learners improve
		t.add(i+1, d.lesson, d.who+1, tenths(w.rnd, 30+better, 70+better), tenths(w.rnd, 25+better, 75+better), tenths(w.rnd, 20+better, 75+better),
			orNull(w.rnd, 10, tenths(w.rnd, 30+better, 75+better)), orNull(w.rnd, 40, pick(w.rnd, remarks)), w.stamp(d.day, 86_399))
	}
	return t.finish()
}

func (w *world) writeLogs() error {
	texts := strings.Split(memos, ",")
	kinds := []string{"vocabulary", "vocabulary", "listening", "shadowing", "reading", "grammar", "writing"}
	t := w.out.table("study_logs", "id", "user_id", "kind", "minutes", "memo", "studied_on", "created_at", "updated_at")
	id := 0
	w.timeline(w.sizes.logs, studyWeek(), func(day, who int) {
		id++
		second := w.evening()
		created := w.stamp(day, second)
		updated := created
		if w.rnd.IntN(8) == 0 {
			updated = w.stamp(min(day+w.rnd.IntN(3), serviceDays-1), 86_399)
		}
		minutes := min(180, 5+int(w.rnd.ExpFloat64()*28)/5*5)
		t.add(id, who+1, pick(w.rnd, kinds), minutes, orNull(w.rnd, 70, pick(w.rnd, texts)), ymd(day), created, updated)
	})
	return t.finish()
}

func (w *world) writeMessages() error {
	starts, rest := strings.Split(openings, ","), strings.Split(bodies, ",")
	t := w.out.table("messages", "id", "user_id", "coach_id", "from_coach", "body", "read_at", "created_at")
	id := 0
	w.timeline(w.sizes.messages, studyWeek(), func(day, who int) {
		id++
		second := w.evening()
		t.add(id, who+1, w.coachOf(who), w.rnd.IntN(2) == 0, pick(w.rnd, starts)+pick(w.rnd, rest),
			orNull(w.rnd, 9, w.stamp(day, min(86_399, second+60+w.rnd.IntN(7200)))), w.stamp(day, second))
	})
	return t.finish()
}

func (w *world) writeTests() error {
	t := w.out.table("test_results", "id", "user_id", "test", "score", "percentile", "taken_on", "certificate", "created_at")
	id := 0
	w.timeline(w.sizes.tests, lessonWeek(), func(day, who int) {
		id++
		test, score := "TOEIC", 5*(60+w.rnd.IntN(90)+min(48, (day-w.users[who].first)/8))
		if w.rnd.IntN(5) == 0 {
			test, score = "英検準1級", 1_500+w.rnd.IntN(900)
		}
		var certificate any
		if w.rnd.IntN(20) == 0 {
			certificate = []byte(fmt.Sprintf("%%PDF-1.4\n%%%08x\x00\xff", w.rnd.Uint32()))
		}
		t.add(id, who+1, test, score, orNull(w.rnd, 15, w.rnd.Float64()*100), ymd(day), certificate, w.stamp(day, 86_399))
	})
	return t.finish()
}

func (w *world) writeConsents() error {
	t := w.out.table("consents", "user_id", "kind", "version", "agreed_at", "ip")
	for i, u := range w.users {
		for _, kind := range []string{"privacy", "terms"} {
			t.add(i+1, kind, pick(w.rnd, []string{"2024-10", "2025-04"}), w.stamp(u.first, w.evening()),
				orNull(w.rnd, 15, fmt.Sprintf("203.0.113.%d", w.rnd.IntN(256))))
		}
	}
	return t.finish()
}

func (w *world) writeNotes() error {
	texts := strings.Split(memos, ",")
	t := w.out.table("notes", "id", "user_id", "author_id", "title", "body", "pinned", "created_at")
	id := 0
	w.timeline(w.sizes.users, studyWeek(), func(day, who int) {
		id++
		t.add(id, who+1, orNull(w.rnd, 50, w.coachOf(who)), pick(w.rnd, []string{"📌 目標", "復習メモ", "🔥 連続学習", "To-do ✅"}),
			orNull(w.rnd, 20, pick(w.rnd, texts)+"\n👩‍🏫 "+pick(w.rnd, texts)), w.rnd.IntN(6) == 0, w.stamp(day, w.evening()))
	})
	return t.finish()
}

func (w *world) writeNews() error {
	t := w.out.table("お知らせ", "id", "件名", "本文", "公開日", "対象プラン")
	for i := range 40 {
		t.add(i+1, pick(w.rnd, []string{"メンテナンスのお知らせ🔧", "新コーチが加わりました", "年末年始の営業について", "料金改定のご案内"}),
			"いつもご利用いただきありがとうございます。\n詳しくはアプリをご覧ください。", ymd(i*serviceDays/40), orNull(w.rnd, 60, 1+w.rnd.IntN(len(plans()))))
	}
	if err := t.finish(); err != nil {
		return err
	}
	s := w.out.table("app_settings", "key", "value", "updated_at")
	s.add("tax_rate", 0.1, w.stamp(0, 0))
	s.add("max_lessons", 12, w.stamp(0, 0))
	s.add("greeting", "ようこそ🎉", w.stamp(100, 0))
	s.add("campaign", nil, w.stamp(200, 0))
	return s.finish()
}
