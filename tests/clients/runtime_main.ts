/**
 * Visits in Node, Bun and Deno: reads visits as JSON from the arguments, prints what was seen. With
 * the folder of the package `ws`, its client goes; else the runtime's own.
 */
import { refused, visit } from "./visit.ts";
import type { AnySocket, Connect, Refused, Seen, Visit } from "./visit.ts";

/** What this program is asked for. */
export interface Wanted {
  /** Of the package `ws`; absent: the runtime's own client. */
  readonly ws?: string;
  readonly visits: readonly { readonly visit: Visit; readonly text: string }[];
  readonly refusals: readonly Visit[];
}

/** What it prints, as one line of JSON. */
export interface Report {
  readonly seen: readonly Seen[];
  readonly refused: readonly Refused[];
  /** Of the package `ws`, which shows the answer to a refused upgrade: `STATUS REASON`. */
  readonly answers: readonly string[];
}

/** The second argument with headers is of Node, Bun and Deno; browsers know only protocols. */
type Own = new (url: string, options: { protocols: string[]; headers: object }) => AnySocket;

const own: Connect = (url, protocols, headers) =>
  new (globalThis.WebSocket as unknown as Own)(url, { protocols, headers });

type Answer = AsyncIterable<Uint8Array> & { readonly statusCode: number };
type WsSocket = AnySocket & {
  on(event: "unexpected-response", listener: (request: Ended, answer: Answer) => void): void;
};
type Ended = { destroy(): void };
type Ws = new (url: string, protocols: string[], options: { headers: object }) => WsSocket;

async function answerTo(client: Ws, { url, token }: Visit): Promise<string> {
  const socket = new client(url, ["arqon.v1", `arqon.token.${token}`], { headers: {} });
  const [request, answer] = await new Promise<[Ended, Answer]>((resolve, reject) => {
    socket.on("unexpected-response", (...both) => resolve(both));
    socket.addEventListener("open", () => reject(new Error("it was let in")));
  });
  let text = "";
  for await (const chunk of answer) text += new TextDecoder().decode(chunk);
  // Whoever listens to the answer has to end the connection, says the package.
  request.destroy();
  return `${answer.statusCode} ${JSON.parse(text).reason}`;
}

const wanted: Wanted = JSON.parse(process.argv[2] ?? "");
const client: Ws | undefined = wanted.ws && (await import(`${wanted.ws}/wrapper.mjs`)).default;
const connect: Connect = client === undefined
  ? own
  : (url, protocols, headers) => new client(url, protocols, { headers });
const seen: Seen[] = [];
for (const { visit: go, text } of wanted.visits) seen.push(await visit(connect, go, text));
const turned_away: Refused[] = [];
const answers: string[] = [];
for (const go of wanted.refusals) {
  turned_away.push(await refused(connect, go));
  if (client !== undefined) answers.push(await answerTo(client, go));
}
const report: Report = { seen, refused: turned_away, answers };
console.log(JSON.stringify(report));
