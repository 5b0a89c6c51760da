/** Places of vehicles, and messages that are not vehicles. `tests/external/map_test.ts` tests the page itself. */
import assert from "node:assert/strict";
import { isVehicle, pictureOf, WIDTH } from "./place.ts";

const train = (id: string, route: string, stop: string, sequence: number) => (
  { id, route, stop, sequence, at_seconds: 0 }
);

Deno.test("a route is a row, and its trips run to the right and back", () => {
  const north = [
    train("n0", "B", "B1N", 0),
    train("n5", "B", "B6N", 5),
    train("n9", "B", "B9N", 9),
  ];
  const south = [train("s0", "B", "B9S", 0), train("s9", "B", "B1S", 9)];
  const { spots, rows } = pictureOf([...north, ...south, train("a", "A", "A1N", 3)]);
  assert.deepEqual(rows.map(({ route }) => route), ["A", "B"]);
  const x = (id: string) => spots.get(id)?.x ?? NaN;
  assert.ok(x("n0") < x("n5") && x("n5") < x("n9"));
  assert.deepEqual([x("s0"), x("s9")], [x("n9"), x("n0")]);
  assert.notEqual(spots.get("n0")?.y, spots.get("s9")?.y);
  assert.equal(spots.size, 6);
});

Deno.test("vehicles with coordinates are on a map with north up, above the rows of the others", () => {
  const at = (id: string, latitude: number, longitude: number) => (
    { ...train(id, "", "", 0), latitude, longitude }
  );
  const { spots, rows, height } = pictureOf([
    at("sw", 47, -122),
    at("ne", 50, -60),
    train("t", "A", "A1N", 1),
  ]);
  const [west, east, line] = ["sw", "ne", "t"].map((id) => spots.get(id)!);
  assert.ok(west!.x < east!.x && west!.y > east!.y && line!.y > west!.y);
  assert.ok(line!.y < height && rows.length === 1);
  assert.equal(pictureOf([at("alone", 1, 2)]).spots.get("alone")?.x, WIDTH / 2);
});

Deno.test("other messages are ignored, and an empty map is drawn", () => {
  assert.ok(isVehicle(train("a", "A", "A1N", 3)));
  for (
    const other of [undefined, null, 7, "x", [], {}, { ...train("a", "A", "", 0), sequence: "3" }]
  ) {
    assert.equal(isVehicle(other), false, JSON.stringify(other));
  }
  assert.equal(isVehicle({ ...train("a", "A", "", 0), latitude: "50" }), false);
  assert.equal(pictureOf([]).spots.size, 0);
});
