/**
 * Where another Deno process makes objects, by V8's inspector (the Chrome DevTools Protocol, which
 * `--inspect` serves). Not for counting: what Deno makes for the inspector itself is among it, and
 * only the part that is known is left out here.
 */

/** A session with one process. */
export interface Inspector extends Disposable {
  /** From now on one allocation in some tens of KiB is noted. */
  startSampling(): Promise<void>;
  /** Stops that: the functions that made objects, those included that are gone, the most first. */
  takeSites(): Promise<AllocationSite[]>;
}

/** A function and what it made itself, estimated from samples. */
export interface AllocationSite {
  readonly name: string;
  /** File and line; "" for what is part of the engine. */
  readonly place: string;
  readonly bytes: number;
}

/** A node of V8's tree of call stacks. */
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

/** Deno tells the inspector of each WebSocket frame (2.9.6), which it would not do otherwise. */
const FOR_INSPECTOR = new Set(["emitWebSocketFrame"]);
const INSPECTOR_FILE = "inspector_network_bridge.js";

const SAMPLING_BYTES = 32_768;

/** Adds up the same function in all call stacks. */
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

/** The session's address, as the process that listens on `port` says it. */
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
