package demo

// Question is what a product manager would ask, in DuckDB's SQL over the loaded tables.
type Question struct {
	Name string // a short name for a command line
	Ask  string // the question, in Japanese
	SQL  string
}

// Queries are the questions `kitamae demo` asks at the end.
func Queries() []Question {
	return []Question{
		{"weekly_learners", "週ごとに学習した人は何人？（直近8週）", `
SELECT strftime(date_trunc('week', studied_on), '%Y-%m-%d') AS "週（月曜）",
       count(DISTINCT user_id) AS "学習者数",
       count(*) AS "学習回数",
       round(sum(minutes) / 60.0)::BIGINT AS "合計時間"
FROM study_logs
WHERE studied_on >= (SELECT date_trunc('week', max(studied_on)) - INTERVAL 56 DAY FROM study_logs)
  AND studied_on < (SELECT date_trunc('week', max(studied_on)) FROM study_logs)
GROUP BY 1 ORDER BY 1`},
		{"monthly_revenue", "月ごとの売上は？（円、税抜、直近6か月）", `
SELECT strftime(created_at + INTERVAL 9 HOUR, '%Y年%m月') AS "月",
       format('¥{:,}', sum(amount_jpy)::BIGINT) AS "売上",
       count(*) AS "支払件数",
       count(DISTINCT user_id) AS "支払人数"
FROM payments WHERE status = 'paid'
GROUP BY 1 ORDER BY 1 DESC LIMIT 6`},
		{"coach_minutes", "どのコーチの受講者がよく学習している？（上位5名）", `
SELECT c.name AS "コーチ",
       count(DISTINCT u.id) AS "受講者数",
       format('{:,}', sum(l.minutes)::BIGINT) AS "学習分数",
       round(sum(l.minutes) / count(DISTINCT u.id), 1) AS "一人あたり分"
FROM study_logs l JOIN users u ON u.id = l.user_id JOIN coaches c ON c.id = u.coach_id
GROUP BY c.id, c.name ORDER BY sum(l.minutes) DESC, c.id LIMIT 5`},
		{"plan_churn", "プランごとの解約率は？", `
SELECT p.name AS "プラン",
       count(*) AS "契約数",
       count(s.canceled_on) AS "解約数",
       format('{:.1f}%', 100.0 * count(s.canceled_on) / count(*)) AS "解約率",
       round(median(date_diff('day', s.started_on, s.canceled_on)))::BIGINT AS "解約までの日数（中央値）"
FROM subscriptions s JOIN plans p ON p.id = s.plan_id
GROUP BY p.id, p.name ORDER BY p.id`},
	}
}
