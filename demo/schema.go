package demo

// schema is what an application's migrations would have left.
const schema = `
CREATE TABLE plans (
  id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, name TEXT NOT NULL, price_jpy INTEGER NOT NULL,
  lessons_per_month INTEGER NOT NULL, features JSON NOT NULL, active BOOLEAN NOT NULL
);
CREATE TABLE coaches (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, kana TEXT NOT NULL, email TEXT NOT NULL, native_language TEXT NOT NULL,
  rating DECIMAL(3,2), hourly_jpy INTEGER NOT NULL, bio TEXT, joined_on DATE NOT NULL
);
CREATE TABLE users (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, kana TEXT NOT NULL, email TEXT NOT NULL, phone TEXT, plan_id INTEGER NOT NULL REFERENCES plans(id),
  coach_id INTEGER REFERENCES coaches(id), birthday DATE, prefecture TEXT, goal TEXT, settings JSON, newsletter BOOLEAN NOT NULL,
  password_digest TEXT NOT NULL, last_login_at DATETIME, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL
);
CREATE TABLE subscriptions (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id), plan_id INTEGER NOT NULL REFERENCES plans(id),
  status TEXT NOT NULL, started_on DATE NOT NULL, canceled_on DATE, cancel_reason TEXT, created_at DATETIME NOT NULL
);
CREATE TABLE payments (
  id INTEGER PRIMARY KEY, subscription_id INTEGER NOT NULL REFERENCES subscriptions(id), user_id INTEGER NOT NULL REFERENCES users(id),
  amount_jpy INTEGER NOT NULL, tax_jpy INTEGER NOT NULL, method TEXT NOT NULL, status TEXT NOT NULL, paid_at DATETIME, created_at DATETIME NOT NULL
);
CREATE TABLE lessons (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id), coach_id INTEGER NOT NULL REFERENCES coaches(id),
  starts_at DATETIME NOT NULL, minutes INTEGER NOT NULL, topic TEXT NOT NULL, status TEXT NOT NULL, created_at DATETIME NOT NULL
);
CREATE TABLE study_logs (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id), kind TEXT NOT NULL, minutes INTEGER NOT NULL,
  memo TEXT, studied_on DATE NOT NULL, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL
);
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id), coach_id INTEGER NOT NULL REFERENCES coaches(id),
  from_coach BOOLEAN NOT NULL, body TEXT NOT NULL, read_at DATETIME, created_at DATETIME NOT NULL
);
CREATE TABLE evaluations (
  id INTEGER PRIMARY KEY, lesson_id INTEGER NOT NULL REFERENCES lessons(id), user_id INTEGER NOT NULL REFERENCES users(id),
  fluency DECIMAL(4,1) NOT NULL, vocabulary DECIMAL(4,1) NOT NULL, grammar DECIMAL(4,1) NOT NULL, pronunciation DECIMAL(4,1), comment TEXT, created_at DATETIME NOT NULL
);
CREATE TABLE test_results (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id), test TEXT NOT NULL, score INTEGER NOT NULL,
  percentile REAL, taken_on DATE NOT NULL, certificate BLOB, created_at DATETIME NOT NULL
);
CREATE TABLE consents (
  user_id INTEGER NOT NULL REFERENCES users(id), kind TEXT NOT NULL, version TEXT NOT NULL, agreed_at DATETIME NOT NULL, ip TEXT,
  PRIMARY KEY (user_id, kind)
) WITHOUT ROWID;
CREATE TABLE notes (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id), author_id INTEGER REFERENCES coaches(id),
  title TEXT NOT NULL, body TEXT, pinned BOOLEAN NOT NULL, created_at DATETIME NOT NULL
);
CREATE TABLE お知らせ (
  id INTEGER PRIMARY KEY, 件名 TEXT NOT NULL, 本文 TEXT NOT NULL, 公開日 DATE NOT NULL, 対象プラン INTEGER REFERENCES plans(id)
);
CREATE TABLE app_settings (key TEXT PRIMARY KEY NOT NULL, value, updated_at DATETIME NOT NULL);
`

const indexes = `
CREATE UNIQUE INDEX users_email ON users (email);
CREATE INDEX subscriptions_user ON subscriptions (user_id);
CREATE INDEX payments_user ON payments (user_id, created_at);
CREATE INDEX lessons_user ON lessons (user_id);
CREATE INDEX study_logs_user ON study_logs (user_id);
CREATE INDEX messages_user ON messages (user_id);
CREATE INDEX evaluations_lesson ON evaluations (lesson_id);
`
