/** A page that calls a room whose module it runs itself, bundled for Chromium by `optimistic_calls.ts`. */
import { connect } from "@arqon/sdk";
import { optimistic, reduced } from "@arqon/sdk/reducers";

/** What the test finds in the page. */
export interface OptimisticPage {
  /** Calls so often, one call behind the other without a wait; gives what was shown right after each. */
  calls(count: number): Promise<number[]>;
  /** The confirmed total and the shown one, and how many own calls are open. */
  totals(): { readonly confirmed: number; readonly shown: number; readonly pending: number };
}

const bus = await connect(await (await fetch("/bus.json")).json());
const room = reduced<{ add: [number, number] }>(bus.room("count-1"));
const module = await WebAssembly.compileStreaming(fetch("/counter.wasm"));
const counter = await optimistic(room, { module, prefix: "total" });
const shown = () => Number(counter.read("total") ?? 0);
const page: OptimisticPage = {
  async calls(count) {
    const seen: number[] = [];
    const calls = Array.from({ length: count }, () => {
      const call = counter.call("add", 1);
      seen.push(shown());
      return call;
    });
    await Promise.all(calls);
    return seen;
  },
  totals: () => ({
    confirmed: Number(counter.watched.read("total") ?? 0),
    shown: shown(),
    pending: counter.pending,
  }),
};
Object.assign(globalThis, { optimistic: page });
