/**
 * The thread behind `fairness.ts`: a client of one tenant that sends at a constant rate, whatever the answers
 * are. It says `loaded`, gets one order, says `ready` when it sends, and on `stop` says how often each code
 * was answered.
 */

/** The order for the thread. */
export interface BurnerOrder {
  readonly url: string;
  readonly token: string;
  /** Messages per second. */
  readonly rate: number;
}

/** How often the bus answered with each code. */
export type BurnerReport = Readonly<Record<string, number>>;

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<BurnerOrder | "stop">) => void) | null;
  postMessage(message: "loaded" | "ready" | BurnerReport): void;
};

const answers: Record<string, number> = {};
let stopped = false;

async function opened({ url, token }: BurnerOrder): Promise<WebSocket> {
  const socket = new WebSocket(url, ["arqon.v1.json", `arqon.token.${token}`]);
  const { promise: welcome, resolve, reject } = Promise.withResolvers<void>();
  socket.onmessage = () => resolve();
  socket.onerror = () => reject(new Error("the burner cannot connect"));
  await welcome;
  socket.onmessage = ({ data }) => {
    const { op, code } = JSON.parse(data);
    if (op === "ack" || op === "err") answers[code] = (answers[code] ?? 0) + 1;
  };
  return socket;
}

async function burn(order: BurnerOrder): Promise<void> {
  const socket = await opened(order);
  const frame = JSON.stringify({ op: "pub", room: "r", data: "burnt", id: 1 });
  const began_ms = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    for (; sent * 1_000 / order.rate < performance.now() - began_ms; sent++) socket.send(frame);
    if (!stopped) return;
    clearInterval(timer);
    socket.close();
    scope.postMessage(answers);
  }, 1);
  scope.postMessage("ready");
}

scope.onmessage = ({ data }) => {
  if (data === "stop") stopped = true;
  else burn(data);
};
scope.postMessage("loaded");
