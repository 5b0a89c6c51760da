/**
 * Yjs documents in durable rooms of ArqonBus.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { YjsProvider } from "@arqon/yjs";
 * import { Awareness } from "y-protocols/awareness.js";
 * import * as Y from "yjs";
 *
 * const bus = await connect({ url: "localhost:4000", token: "…" });
 * const doc = new Y.Doc();
 * const awareness = new Awareness(doc);
 * const provider = new YjsProvider(bus.room("doc-1"), doc, { awareness });
 * await provider.ready;
 * ```
 */
export { YjsProvider } from "./provider.ts";
export type { ProviderOptions, ProviderState } from "./provider.ts";
