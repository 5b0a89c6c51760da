/** A page with the components of `app.ts` in StrictMode; its interface is `globalThis.page`. */
import { createElement as h, StrictMode, version } from "react";
import { createRoot, hydrateRoot, type Root } from "react-dom/client";
import { createClient } from "@arqon/react";
import { app, renders, seen } from "./app.ts";

/** The page's interface for the test. */
export interface ReactPage {
  readonly version: string;
  readonly seen: typeof seen;
  readonly renders: typeof renders;
  readonly states: string[];
  /** Shows the components; `hydrate`: on top of the server's HTML. */
  mount(url: string, token: string, how?: "hydrate" | "patient"): void;
  unmount(): void;
  /** The state of the client's connection. */
  state(): string;
}

/** The tests are type-checked without the types of pages. */
const { document } = globalThis as unknown as {
  readonly document: { querySelector(selector: string): Parameters<typeof createRoot>[0] };
};
let root: Root | undefined;
let state = () => "";

const page: ReactPage = {
  version,
  seen,
  renders,
  states: [],
  mount(url, token, how) {
    const client = createClient({ url, token, onStatus: (one) => page.states.push(one.state) });
    state = () => client.connection.get().state;
    const tree = h(StrictMode, null, app(client, how === "patient"));
    const element = document.querySelector("#app");
    if (how === "hydrate") root = hydrateRoot(element, tree);
    else {
      root = createRoot(element);
      root.render(tree);
    }
  },
  unmount: () => root?.unmount(),
  state: () => state(),
};
Object.assign(globalThis, { page });
