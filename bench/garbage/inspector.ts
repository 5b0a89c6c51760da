/**
 * Finds where another Deno process makes objects, by V8's inspector (the Chrome DevTools Protocol, which
 * `--inspect` serves). Its figures are not for counting: objects that Deno makes for the inspector are among
 * them, and only the known ones are left out here.
 */

/** An inspector's session with one process. */
export interface Inspector extends Disposable {
  /** Begins to sample: one allocation in some tens of KiB is noted. */
  startSampling(): Promise<void>;
  /**
   * Ends sampling. Returns the functions that made objects, also of objects that are gone, the most bytes
   * first.
   */
  takeSites(): Promise<AllocationSite[]>;
}

/** A function, and the bytes that it made itself, estimated from samples. */
export interface AllocationSite {
  readonly name: string;
  /** File and line; "" for a part of the engine. */
  readonly place: string;
  readonly bytes: number;
}

/** A node in V8's tree of call stacks. */
interface SampledNode {
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
  readonly selfSize: number;
  readonly children: readonly SampledNode[];
}

interface Answer {
  readonly id?: number;
  readonly result?: {
    readonly profile?: { readonly head: SampledNode };
  };
  readonly error?: { readonly message: string };
}

/** Deno makes a report of each WebSocket frame for the inspector (2.9.6), and makes none otherwise. */
const FOR_INSPECTOR = new Set(["emitWebSocketFrame"]);
const INSPECTOR_FILE = "inspector_network_bridge.js";

const SAMPLING_BYTES = 32_768;

/** The functions of a tree, each added up over all call stacks. */
function sitesOf(head: SampledNode): AllocationSite[] {
  const sites = new Map<string, AllocationSite>();
  const visit = ({ callFrame, selfSize, children }: SampledNode) => {
    const { functionName, url, lineNumber } = callFrame;
    const name = functionName || "(anonymous)";
    const place = url === "" ? "" : `${url.split("/").slice(-2).join("/")}:${lineNumber + 1}`;
    const key = `${name} ${place}`;
    const bytes = (sites.get(key)?.bytes ?? 0) + selfSize;
    if (FOR_INSPECTOR.has(name) || url.endsWith(INSPECTOR_FILE)) return;
    sites.set(key, { name, place, bytes });
    children.forEach(visit);
  };
  visit(head);
  return [...sites.values()].sort((one, other) => other.bytes - one.bytes);
}

/** The address of the session, from the process that listens on `port`. */
async function sessionUrl(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/json/list`);
  const [target]: { webSocketDebuggerUrl: string }[] = await answer.json();
  if (target === undefined) throw new Error(`nothing can be inspected on port ${port}`);
  return target.webSocketDebuggerUrl;
}

/** Opens a session with the process that was started with `--inspect=127.0.0.1:PORT`. */
export async function openInspector(port: number): Promise<Inspector> {
  const socket = new WebSocket(await sessionUrl(port));
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  const opened = Promise.withResolvers<void>();
  socket.onopen = () => opened.resolve();
  socket.onclose = () => {
    opened.reject(new Error("the inspector has ended"));
    for (const { reject } of waiting.values()) reject(new Error("the inspector has ended"));
  };
  socket.onmessage = ({ data }) => {
    const answer: Answer = JSON.parse(data);
    const asked = waiting.get(answer.id ?? 0);
    waiting.delete(answer.id ?? 0);
    if (answer.error === undefined) asked?.resolve(answer);
    else asked?.reject(new Error(answer.error.message));
  };
  await opened.promise;
  let last = 0;
  const ask = (method: string, params: Record<string, unknown> = {}) => {
    const asked = Promise.withResolvers<Answer>();
    waiting.set(++last, asked);
    socket.send(JSON.stringify({ id: last, method, params }));
    return asked.promise;
  };
  return {
    async startSampling() {
      await ask("HeapProfiler.startSampling", {
        samplingInterval: SAMPLING_BYTES,
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true,
      });
    },
    async takeSites() {
      const { result } = await ask("HeapProfiler.stopSampling");
      if (result?.profile === undefined) throw new Error("the process has no samples");
      return sitesOf(result.profile.head);
    },
    [Symbol.dispose]: () => socket.close(),
  };
}
