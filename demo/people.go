package demo

import (
	"fmt"
	"strings"
)

// plan is what is sold.
type plan struct {
	code, name, features string
	price, lessons       int
}

func plans() []plan {
	return []plan{
		{"light", "ライト", `{"chat": true, "lessons": 2, "ai_tutor": false}`, 9_800, 2},
		{"standard", "スタンダード", `{"chat": true, "lessons": 4, "ai_tutor": true}`, 19_800, 4},
		{"intensive", "短期集中", `{"chat": true, "lessons": 8, "ai_tutor": true, "weekend": true}`, 49_800, 8},
		{"executive", "エグゼクティブ", `{"chat": true, "lessons": 12, "ai_tutor": true, "perks": ["専任コーチ", "24時間返信"]}`, 98_000, 12},
	}
}

// Names as kanji, kana and the Latin letters of a mail address.
const (
	familyNames = "佐藤 サトウ sato,鈴木 スズキ suzuki,高橋 タカハシ takahashi,田中 タナカ tanaka,伊藤 イトウ ito,渡辺 ワタナベ watanabe,山本 ヤマモト yamamoto,中村 ナカムラ nakamura,小林 コバヤシ kobayashi,加藤 カトウ kato,吉田 ヨシダ yoshida,山田 ヤマダ yamada,佐々木 ササキ sasaki,山口 ヤマグチ yamaguchi,松本 マツモト matsumoto,井上 イノウエ inoue,木村 キムラ kimura,林 ハヤシ hayashi,清水 シミズ shimizu,斎藤 サイトウ saito,髙田 タカダ takada,長谷川 ハセガワ hasegawa,橋本 ハシモト hashimoto,石川 イシカワ ishikawa,前田 マエダ maeda,藤田 フジタ fujita,岡田 オカダ okada,近藤 コンドウ kondo,五十嵐 イガラシ igarashi,𠮷野 ヨシノ yoshino"
	givenNames  = "翔太 ショウタ shota,陽菜 ヒナ hina,蓮 レン ren,結衣 ユイ yui,大輔 ダイスケ daisuke,美咲 ミサキ misaki,健太 ケンタ kenta,さくら サクラ sakura,拓也 タクヤ takuya,愛 アイ ai,直樹 ナオキ naoki,彩 アヤ aya,悠斗 ユウト yuto,葵 アオイ aoi,誠 マコト makoto,真由美 マユミ mayumi,亮 リョウ ryo,恵子 ケイコ keiko,隆 タカシ takashi,菜々子 ナナコ nanako,樹 イツキ itsuki,凛 リン rin,浩二 コウジ koji,優子 ユウコ yuko"
	coachNames  = "Emily Carter,James O'Neill,Sofia García,Liam Müller,Grace Kim,Noah Smith,Olivia Brown,Ethan Clark,Hannah Lee,Zoë Martin,田村 絵理,大西 ジョン"
	prefectures = "東京都,東京都,東京都,神奈川県,大阪府,愛知県,埼玉県,千葉県,兵庫県,北海道,福岡県,京都府,沖縄県"
	goals       = "TOEIC 800点,海外出張で困らない,転職,英語会議でのファシリテーション,IELTS 6.5,洋画を字幕なしで,MBA留学,子どもに教えたい"
	reasons     = "忙しくなった,価格,目標を達成した,他社に乗り換え,効果を感じない"
)

func (w *world) writePlans() error {
	t := w.out.table("plans", "id", "code", "name", "price_jpy", "lessons_per_month", "features", "active")
	for i, p := range plans() {
		t.add(i+1, p.code, p.name, p.price, p.lessons, p.features, i != 2 || w.rnd.IntN(2) == 0)
	}
	return t.finish()
}

func (w *world) writeCoaches() error {
	names := strings.Split(coachNames, ",")
	t := w.out.table("coaches", "id", "name", "kana", "email", "native_language", "rating", "hourly_jpy", "bio", "joined_on")
	for id := 1; id <= w.coaches; id++ {
		t.add(id, pick(w.rnd, names), "コーチ", fmt.Sprintf("coach%d@kotoba-gym.example.jp", id), pick(w.rnd, []string{"英語", "英語", "日本語"}),
			orNull(w.rnd, 8, float64(380+w.rnd.IntN(121))/100), 2_000+100*w.rnd.IntN(25),
			orNull(w.rnd, 30, "英語学習歴"+fmt.Sprint(3+w.rnd.IntN(20))+"年。一緒にがんばりましょう！🌸"), ymd(w.rnd.IntN(200)))
	}
	return t.finish()
}

func (w *world) writeUsers() error {
	w.join()
	family, given := strings.Split(familyNames, ","), strings.Split(givenNames, ",")
	regions, aims := strings.Split(prefectures, ","), strings.Split(goals, ",")
	t := w.out.table("users", "id", "name", "kana", "email", "phone", "plan_id", "coach_id", "birthday", "prefecture", "goal", "settings",
		"newsletter", "password_digest", "last_login_at", "created_at", "updated_at")
	for i, u := range w.users {
		f, g := strings.Fields(pick(w.rnd, family)), strings.Fields(pick(w.rnd, given))
		var coach any
		if u.coach > 0 {
			coach = u.coach
		}
		settings := fmt.Sprintf(`{"reminder": "%02d:00", "locale": "ja", "dark": %t, "tags": ["%s"]}`, 6+w.rnd.IntN(17), w.rnd.IntN(3) == 0, pick(w.rnd, []string{"朝活", "初級", "ビジネス", "🎯"}))
		last := min(u.last, serviceDays-1)
		t.add(i+1, f[0]+" "+g[0], f[1]+" "+g[1], fmt.Sprintf("%s.%s%d@example.jp", g[2], f[2], i+1), orNull(w.rnd, 25, w.phone()),
			u.plan+1, coach, orNull(w.rnd, 12, fmt.Sprintf("%d-%02d-%02d", 1960+w.rnd.IntN(46), 1+w.rnd.IntN(12), 1+w.rnd.IntN(28))),
			orNull(w.rnd, 5, pick(w.rnd, regions)), orNull(w.rnd, 20, pick(w.rnd, aims)), orNull(w.rnd, 10, settings), w.rnd.IntN(3) > 0,
			w.digest(), orNull(w.rnd, 3, w.stamp(last, w.evening())), w.stamp(u.first, w.evening()), w.stamp(last, 86_399))
	}
	return t.finish()
}

// writeSubscriptions writes one subscription a user and its monthly payments.
func (w *world) writeSubscriptions() error {
	all, why := plans(), strings.Split(reasons, ",")
	subs := w.out.table("subscriptions", "id", "user_id", "plan_id", "status", "started_on", "canceled_on", "cancel_reason", "created_at")
	for i, u := range w.users {
		status, canceled, reason := "active", any(nil), any(nil)
		if u.last < serviceDays {
			status, canceled, reason = "canceled", ymd(u.last), orNull(w.rnd, 35, pick(w.rnd, why))
		}
		subs.add(i+1, i+1, u.plan+1, status, ymd(u.first), canceled, reason, w.stamp(u.first, w.evening()))
	}
	if err := subs.finish(); err != nil {
		return err
	}
	pays := w.out.table("payments", "id", "subscription_id", "user_id", "amount_jpy", "tax_jpy", "method", "status", "paid_at", "created_at")
	due := make([][]int32, serviceDays) // who pays on a day
	for i, u := range w.users {
		for day := u.first; day < u.last; day += 30 {
			due[day] = append(due[day], int32(i))
		}
	}
	id := 0
	for day, who := range due {
		for _, i := range who {
			id++
			u := w.users[i]
			price := all[u.plan].price
			at := w.stamp(day, w.rnd.IntN(86_400))
			status, paid := "paid", any(at)
			switch w.rnd.IntN(60) {
			case 0:
				status, paid = "failed", nil
			case 1:
				status = "refunded"
			}
			pays.add(id, i+1, i+1, price, price/10, pick(w.rnd, []string{"card", "card", "card", "konbini", "bank", "paypay"}), status, paid, at)
		}
	}
	return pays.finish()
}
