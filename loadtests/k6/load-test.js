// The load test for k6: users are read, people log in, WebSockets echo.
//
//   make load-k6                 against the demo, with config/load-test.yaml
//   K6_QUICK=1 make load-k6      the same in half a minute: does it still work?
//   k6 run --vus 1000 --duration 5m loadtests/k6/load-test.js
//                                against what runs already: no ramps, the three
//                                kinds mixed by every user
//
// Read from the environment:
//   BASE_URL    https://localhost:8443, where k6 speaks HTTP/2; with
//               http://localhost:8080 it is HTTP/1.1
//   VUS         users who read at the same time                  (1000)
//   SOCKETS     WebSockets at the same time                      (100)
//   LOGINS      logins a second. Each costs the API tens of ms
//               of a core, by design: a few saturate a machine   (5)
//   RAMP, HOLD  how long load rises, and falls again; how long
//               it stays                                         (30s, 4m)
//   P99_MS      the threshold for reads and echoes: k6, lb and
//               the backends share a machine, and it may have
//               others to serve besides                          (500)
//
// Exits with 99 when a threshold is crossed.

import { check, fail, sleep } from 'k6';
import http from 'k6/http';
import ws from 'k6/ws';
import { Rate, Trend } from 'k6/metrics';

const quick = Boolean(__ENV.K6_QUICK);
const base = (__ENV.BASE_URL || 'https://localhost:8443').replace(/\/+$/, '');
const vus = number('VUS', quick ? 20 : 1000);
const sockets = number('SOCKETS', quick ? 5 : 100);
const logins = number('LOGINS', quick ? 2 : 5);
const ramp = __ENV.RAMP || (quick ? '5s' : '30s');
const p99 = number('P99_MS', 500);
const hold = __ENV.HOLD || (quick ? '15s' : '4m');

// A user reads, and looks at what it got for so many seconds.
const thinkSeconds = 1;

// A conversation over a WebSocket: so many messages, one after the other.
const messages = 5;
const messagePauseMs = 1000;
const conversationLimitMs = 30000;

const password = 'correct horse battery staple';
const accounts = 5;

// k6 counts failed requests, but nothing of the kind for WebSockets.
const echoTime = new Trend('ws_echo_duration', true);
const echoErrors = new Rate('ws_echo_errors');

export const options = {
  // The development certificate, whose authority is this machine's own business.
  // Anywhere else certificates are verified.
  insecureSkipTLSVerify: /^https:\/\/(localhost|127\.0\.0\.1)(:|$)/.test(base),
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
  scenarios: {
    users: { executor: 'ramping-vus', exec: 'users', startVUs: 0, stages: stages(vus) },
    // At a rate, whatever the answers: people do not wait for each other to log in.
    // Half a VU for each login a second is enough while they take less than 0.5 s.
    login: {
      executor: 'ramping-arrival-rate',
      exec: 'login',
      startRate: 0,
      timeUnit: '1s',
      preAllocatedVUs: Math.max(2, Math.ceil(logins / 2)),
      maxVUs: Math.max(10, logins * 10),
      stages: stages(logins),
    },
    sockets: { executor: 'ramping-vus', exec: 'socket', startVUs: 0, stages: stages(sockets) },
  },
  thresholds: {
    http_req_failed: ['rate<0.001'],
    checks: ['rate>0.999'],
    ws_echo_errors: ['rate<0.001'],
    'http_req_duration{kind:users}': [`p(99)<${p99}`],
    // Hashing the password is most of it, and that may have to wait for its turn.
    'http_req_duration{kind:login}': [`p(99)<${4 * p99}`],
    ws_echo_duration: [`p(99)<${p99}`],
  },
};

function stages(target) {
  return [
    { duration: ramp, target },
    { duration: hold, target },
    { duration: ramp, target: 0 },
  ];
}

function number(name, otherwise) {
  const text = __ENV[name];
  if (!text) {
    return otherwise;
  }
  if (!/^[1-9][0-9]*$/.test(text)) {
    throw new Error(`${name} is "${text}"; expected a number from 1`);
  }
  return Number(text);
}

// Once, before the load: somebody has to be there to be read and to log in. The
// addresses are new ones, so that a second run finds nothing in its way.
export function setup() {
  const run = Date.now();
  const people = [];
  for (let index = 1; index <= accounts; index++) {
    const email = `k6-${run}-${index}@example.com`;
    const response = post('/api/v1/users', { email, name: `k6 ${index}`, password }, 'setup');
    if (response.status !== 201) {
      fail(`POST ${base}/api/v1/users: ${response.status} ${response.error || response.body}`);
    }
    people.push({ id: response.json('id'), email });
  }
  return { people };
}

// What a run without scenarios does, as with --vus and --duration: of a hundred
// users at any moment, two talk over a WebSocket and one logs in.
export default function (data) {
  const dice = Math.random();
  if (dice < 0.01) {
    login(data);
  } else if (dice < 0.03) {
    socket();
  } else {
    users(data);
  }
}

export function users({ people }) {
  const page = get('/api/v1/users?limit=20', 'users');
  check(page, { 'a page of users': (it) => it.status === 200 && it.json('items').length > 0 });

  const { id, email } = pick(people);
  const one = get(`/api/v1/users/${id}`, 'users', '/api/v1/users/{id}');
  check(one, { 'the user who was asked for': (it) => it.status === 200 && it.json('email') === email });
  sleep(thinkSeconds);
}

export function login({ people }) {
  const response = post('/api/v1/auth/login', { email: pick(people).email, password }, 'login');
  check(response, { 'a token': (it) => it.status === 200 && it.json('access_token').length > 0 });
}

export function socket() {
  let echoed = 0;
  let sentAt = 0;
  let expected = '';

  const response = ws.connect(`${base.replace(/^http/, 'ws')}/ws`, { tags: { kind: 'ws' } }, (it) => {
    const say = () => {
      expected = `message ${echoed + 1} of VU ${__VU}`;
      sentAt = Date.now();
      it.send(expected);
    };
    it.on('open', say);
    it.on('message', (text) => {
      echoTime.add(Date.now() - sentAt);
      echoErrors.add(text !== expected);
      echoed++;
      if (echoed < messages) {
        it.setTimeout(say, messagePauseMs);
      } else {
        it.close();
      }
    });
    it.on('error', (error) => {
      console.error(`WebSocket: ${error.error()}`);
    });
    it.setTimeout(() => it.close(), conversationLimitMs);
  });
  check(response, { 'a WebSocket': (it) => it.status === 101 });
  if (echoed < messages) {
    const why = response.error || `status ${response.status}`;
    console.error(`WebSocket: ${echoed} of ${messages} messages echoed, ${why}`);
    for (; echoed < messages; echoed++) {
      echoErrors.add(true);
    }
    // Otherwise who is refused at once would do nothing but try again.
    sleep(thinkSeconds);
  }
}

function get(path, kind, name = path) {
  // `name` keeps the number of series small: one for a route, not one for a user.
  return http.get(`${base}${path}`, { tags: { kind, name } });
}

function post(path, body, kind) {
  return http.post(`${base}${path}`, JSON.stringify(body), {
    headers: { 'Content-Type': 'application/json' },
    tags: { kind, name: path },
  });
}

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}
