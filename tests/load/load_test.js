// The load run as a k6 script (https://k6.io), for those who know k6: connections to one bus that come,
// subscribe, stay idle, receive a broadcast every few seconds and are closed. `deno task k6` runs it, or
//
//   k6 run -e URL=ws://127.0.0.1:4000 -e TOKEN=… -e CONNECTIONS=100000 -e IDLE_MINUTES=60 load_test.js
//
// One machine has some 28,000 local ports for each of its addresses: `--local-ips=127.0.0.1-127.0.0.20`
// gives k6 more, and `ulimit -n` has to allow a file for each connection.
import { check } from "k6";
import exec from "k6/execution";
import { Counter, Trend } from "k6/metrics";
import { WebSocket } from "k6/websockets";

const URL = __ENV.URL || "ws://127.0.0.1:4000";
const TOKEN = __ENV.TOKEN || "";
const CONNECTIONS = Number(__ENV.CONNECTIONS || 100000);
/** New connections a second. */
const RATE = Number(__ENV.RATE || 1000);
const IDLE_S = Number(__ENV.IDLE_MINUTES || 60) * 60;
/** Connections of one virtual user: its event loop holds them all. */
const PER_USER = Number(__ENV.PER_USER || 100);
const BROADCAST_S = Number(__ENV.BROADCAST_SECONDS || 10);
const ROOM = __ENV.ROOM || "news";

const USERS = Math.ceil(CONNECTIONS / PER_USER);
const RAMP_S = Math.ceil(CONNECTIONS / RATE);

const handshakes = new Trend("arqon_handshake_ms", true);
const latencies = new Trend("arqon_delivery_ms", true);
const welcomed = new Counter("arqon_welcomed");
const refused = new Counter("arqon_refused");
const lost = new Counter("arqon_lost_connections");
const missed = new Counter("arqon_missed_broadcasts");

export const options = {
  scenarios: {
    load: {
      executor: "per-vu-iterations",
      vus: USERS,
      iterations: 1,
      maxDuration: `${RAMP_S + IDLE_S + 300}s`,
    },
  },
  thresholds: {
    arqon_lost_connections: ["count==0"],
    arqon_missed_broadcasts: ["count==0"],
    arqon_refused: ["count==0"],
    arqon_handshake_ms: ["p(99)<1000"],
  },
};

/** One connection until `until_ms`; the first of all publishes the broadcasts. */
function connect(first, until_ms) {
  const began_ms = Date.now();
  const protocols = ["arqon.v1.json", `arqon.token.${TOKEN}`];
  const socket = new WebSocket(`${URL}/v1/socket`, protocols);
  let [sequence, sent, closing, opened] = [0, 0, false, false];
  let publishing;
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.op === "welcome") {
      opened = true;
      handshakes.add(Date.now() - began_ms);
      welcomed.add(1);
      socket.send(JSON.stringify({ op: "sub", room: ROOM, id: 1 }));
    } else if (frame.op === "ping") {
      socket.send(JSON.stringify({ op: "pong", data: frame.data }));
    } else if (frame.op === "ack") {
      check(frame, { "the subscription was accepted": ({ code }) => code === 0 });
    } else if (frame.op === "msg" && frame.type === "broadcast") {
      // Whoever came later begins with the one that is due.
      if (sequence !== 0 && frame.data.sequence !== sequence + 1) missed.add(1);
      sequence = frame.data.sequence;
      latencies.add(Date.now() - frame.data.sent_ms);
    }
  };
  socket.onerror = () => {
    if (!opened) refused.add(1);
  };
  socket.onclose = () => {
    if (opened && !closing) lost.add(1);
    clearInterval(publishing);
  };
  if (first) {
    publishing = setInterval(() => {
      const data = { sequence: ++sent, sent_ms: Date.now() };
      socket.send(JSON.stringify({ op: "pub", room: ROOM, type: "broadcast", data }));
    }, BROADCAST_S * 1000);
  }
  setTimeout(() => {
    closing = true;
    socket.close();
  }, Math.max(0, until_ms - Date.now()));
}

export default function () {
  const user = exec.vu.idInTest - 1;
  const mine = Math.min(PER_USER, CONNECTIONS - user * PER_USER);
  const began_ms = exec.scenario.startTime;
  const until_ms = began_ms + (RAMP_S + IDLE_S) * 1000;
  for (let index = 0; index < mine; index++) {
    const number = user * PER_USER + index;
    const at_ms = began_ms + number * 1000 / RATE;
    setTimeout(() => connect(number === 0, until_ms), Math.max(0, at_ms - Date.now()));
  }
}
