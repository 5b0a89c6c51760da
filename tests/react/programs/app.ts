/**
 * Components that use each hook, record its results and the number of renders, and show them. For a page and for a
 * server; the scenarios are elsewhere.
 */
import { createElement as h, Fragment, Suspense } from "react";
import type { FunctionComponent, ReactElement } from "react";
import {
  ArqonProvider,
  useConnection,
  useLock,
  useMessages,
  usePresence,
  useRoom,
  useRoomState,
  useRoomValue,
} from "@arqon/react";
import type { BusClient } from "@arqon/react";

/** A position in a drawing, as members publish it. */
export interface Place {
  readonly x: number;
}

/** The hooks by the name of the component that uses each. */
const USES = {
  connection: () => useConnection(),
  room: () => useRoom("durable-page"),
  messages: () => useMessages("durable-page", { history: 3, type: "n" }),
  presence: () => usePresence<Place>("durable-page", { initial: { x: 0 }, throttle_ms: 20 }),
  state: () => useRoomState("durable-page"),
  title: () => useRoomValue<string>("durable-page", "title", "untitled"),
  lock: () => useLock("durable-page"),
};

type Uses = typeof USES;
type Name = keyof Uses;

/** The latest result of each hook. */
export const seen: { [Key in Name]?: ReturnType<Uses[Key]> } = {};
/** Number of renders of each component. */
export const renders: Partial<Record<string, number>> = {};

const counted = (name: string) => renders[name] = (renders[name] ?? 0) + 1;

/** A hook's result as text, the same on a server. */
function textOf(name: Name): string {
  const { messages, title, connection } = seen;
  if (name === "messages") {
    return messages!.messages.map((one) => one.signal?.kind ?? one.text()).join();
  }
  if (name === "title") return title![0];
  return name === "connection" ? connection!.state : name;
}

const PROBES = (Object.keys(USES) as Name[]).map((name): FunctionComponent => {
  return function Probe() {
    (seen as Record<string, unknown>)[name] = USES[name]();
    counted(name);
    return h("p", { id: name }, textOf(name));
  };
});

/** Waits for its messages. */
function Patient(): ReactElement {
  const { messages, ready } = useMessages("durable-page", { history: 2, suspense: true });
  counted(ready ? "patient" : "impatient");
  return h("p", { id: "patient" }, messages.map((one) => one.signal?.kind ?? one.text()).join());
}

/** Shown while a component waits. */
function Fallback(): ReactElement {
  counted("fallback");
  return h("p", { id: "fallback" }, "waiting");
}

/** All components. `patient`: with one that suspends. */
export function app(client: BusClient, patient = false): ReactElement {
  const all = patient
    ? [h(Suspense, { key: "s", fallback: h(Fallback) }, h(Patient))]
    : PROBES.map((probe, at) => h(probe, { key: at }));
  return h(ArqonProvider, { client }, h(Fragment, null, all));
}
