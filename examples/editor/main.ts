/**
 * A text that everybody with the page open edits: the document is in a durable room, presence shows the members and
 * their lines. It is the script of `index.html`; `serve.ts` serves both and starts a bus.
 */
import { connect } from "@arqon/sdk";
import { type ProviderState, YjsProvider } from "@arqon/yjs";
import { Awareness } from "y-protocols/awareness.js";
import * as Y from "yjs";
import { bindTextarea } from "./binding.ts";

const find = <Kind extends Element>(selector: string) => document.querySelector<Kind>(selector)!;
const area = find<HTMLTextAreaElement>("#text");
const COLORS = ["#c33", "#283", "#26c", "#a3a", "#a70", "#088"];

/** The metadata of each editor. */
interface Person {
  readonly name: string;
  readonly color: string;
  readonly line: number;
}

const lineAt = (text: string, offset: number) => text.slice(0, offset).split("\n").length;

/** Always sets text: data of others must not become HTML. */
function showPeople(awareness: Awareness): void {
  const people = [...awareness.getStates().values()] as Partial<Person>[];
  const items = people.map(({ name = "?", color = "", line = 1 }) => {
    const item = document.createElement("li");
    item.textContent = `${name}, line ${line}`;
    if (COLORS.includes(color)) item.style.setProperty("--color", color);
    return item;
  });
  find("#people").replaceChildren(...items);
}

function showState({ synced, unsaved, read_only }: ProviderState, note = ""): void {
  const saved = read_only ? "read only" : unsaved ? "saving" : "saved";
  find("#state").textContent = (synced ? saved : "reading") + note;
  area.readOnly = read_only;
}

async function edit(): Promise<void> {
  const { url, token } = await (await fetch("bus")).json();
  const { searchParams } = new URL(location.href);
  const name = searchParams.get("name") ?? `guest ${Math.floor(Math.random() * 1_000)}`;
  const bus = await connect({ url, token });
  const doc = new Y.Doc();
  const awareness = new Awareness(doc);
  awareness.setLocalState({ name, color: COLORS[doc.clientID % COLORS.length], line: 1 });
  awareness.on("change", () => showPeople(awareness));
  const provider = new YjsProvider(bus.room(searchParams.get("room") ?? "doc-example"), doc, {
    awareness,
    onState: (state) => showState(state),
    onRefused: ({ message }) => showState(provider.state, `; taken back: ${message}`),
  });
  await provider.ready;
  bindTextarea(area, doc.getText("text"));
  area.disabled = false;
  const tell = () =>
    awareness.setLocalStateField("line", lineAt(area.value, area.selectionStart ?? 0));
  document.addEventListener("selectionchange", tell);
  showPeople(awareness);
  const error = await provider.closed;
  find("#state").textContent = `ended: ${error}`;
  area.disabled = true;
}

edit().catch((error) => find("#state").textContent = String(error));
