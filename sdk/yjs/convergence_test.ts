// Editors over a simulated room, with random orders, losses, snapshots, trimming and power cuts: in the end all have
// the document that Yjs alone builds from the same changes.
import assert from "node:assert/strict";
import fc from "fast-check";
import * as Y from "yjs";
import { turn } from "../../shared/testing/pace.ts";
import { YjsProvider } from "./mod.ts";
import { SimulatedLog, SimulatedWay } from "./testing/simulated_room.ts";

const EDITORS = 3;
const LIMIT_TURNS = 20_000;

interface Editor {
  readonly doc: Y.Doc;
  way: SimulatedWay;
  provider: YjsProvider;
}

/** Runs all tasks that are ready. */
async function microtasks(): Promise<void> {
  for (let at = 0; at < 30; at += 1) await Promise.resolve();
}

class World {
  readonly log: SimulatedLog = new SimulatedLog();
  /** The reference: Yjs alone, with every change at once. */
  readonly alone: Y.Doc = new Y.Doc();
  readonly editors: Editor[];
  readonly errors: unknown[] = [];
  marks = 0;

  constructor() {
    this.editors = Array.from({ length: EDITORS }, () => {
      const doc = new Y.Doc();
      doc.on("update", (update: Uint8Array, origin: unknown) => {
        if (!(origin instanceof YjsProvider)) Y.applyUpdate(this.alone, update);
      });
      return { doc, ...this.#enter(doc) };
    });
  }

  #enter(doc: Y.Doc): Omit<Editor, "doc"> {
    const way = new SimulatedWay(this.log);
    const provider = new YjsProvider(way.room, doc, {
      snapshot_updates: 4,
      part_bytes: 40,
      retry_ms: 1,
      onError: (error) => void this.errors.push(error),
    });
    return { way, provider };
  }

  write({ doc }: Editor, number: number): void {
    const text = doc.getText("t");
    const at = number % (text.length + 1);
    if (number % 3 === 0 && text.length > at) text.delete(at, 1);
    else text.insert(at, `<${number}>`.repeat(number % 7 === 0 ? 30 : 1));
    doc.getMap("m").set(`k${number % 5}`, number);
  }

  /** Reloads the page: the document is restored from its storage. */
  reload(editor: Editor): void {
    editor.provider.destroy();
    editor.way.leave();
    Object.assign(editor, this.#enter(editor.doc));
  }

  isSame(): boolean {
    const alone = Y.snapshot(this.alone);
    return this.editors.every(({ doc, provider }) =>
      !provider.state.unsaved && provider.state.synced &&
      Y.equalSnapshots(alone, Y.snapshot(doc))
    );
  }

  async settle(): Promise<void> {
    for (const { way } of this.editors) way.publishes.length = 0;
    let turns = 0;
    // Delivers messages under way first: an unnoticed power cut could make the documents differ again.
    do {
      assert.ok(turns++ < LIMIT_TURNS, "they never agree");
      for (const { way } of this.editors) way.deliver();
      await turn();
    } while (!this.isSame() || this.editors.some(({ way }) => way.coming > 0));
  }

  end(): void {
    this.marks = this.log.entries.filter(({ type }) => type === "yjs.mark").length;
    for (const { provider, way, doc } of this.editors) {
      provider.destroy();
      way.leave();
      doc.destroy();
    }
  }
}

const STEP = fc.oneof(
  { weight: 50, arbitrary: fc.constantFrom("write", "write", "deliver", "deliver", "deliver all") },
  { weight: 10, arbitrary: fc.constantFrom("lose", "unanswered", "unsent", "reload") },
  { weight: 3, arbitrary: fc.constantFrom("trim", "power cut") },
);

async function step(world: World, what: string, number: number): Promise<void> {
  const editor = world.editors[number % EDITORS] as Editor;
  if (what === "write") world.write(editor, number);
  if (what === "deliver") editor.way.deliver(1 + number % 4);
  if (what === "deliver all") { for (const { way } of world.editors) way.deliver(); }
  if (what === "lose") editor.way.lose();
  if (what === "unanswered" || what === "unsent") editor.way.publishes.push(what);
  if (what === "reload") world.reload(editor);
  if (what === "trim") world.log.trim();
  if (what === "power cut") world.log.powerCut(1 + number % 5);
  await microtasks();
}

Deno.test("in any order and with any losses all editors have the document of Yjs alone", async () => {
  let marks = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(STEP, fc.nat({ max: 10_000 })), { maxLength: 80, size: "max" }),
      async (steps) => {
        const world = new World();
        try {
          for (const [what, number] of steps) await step(world, what, number);
          await world.settle();
          // A late reader has it, too, from the stored messages.
          const doc = new Y.Doc();
          const provider = new YjsProvider(new SimulatedWay(world.log).room, doc);
          await provider.ready;
          provider.destroy();
          assert.deepEqual(doc.getText("t").toString(), world.alone.getText("t").toString());
          assert.deepEqual(doc.getMap("m").toJSON(), world.alone.getMap("m").toJSON());
        } finally {
          world.end();
          marks += world.marks;
        }
      },
    ),
    { numRuns: 40 },
  );
  assert.ok(marks > 10, `${marks} snapshots`);
});
