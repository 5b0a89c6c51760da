/** TOML of a class of durable rooms, to be put between other tables; `more` has its other lines. */
export function durableRooms(room: string, ...more: string[]): string {
  return ["", "[[rooms]]", `room = "${room}"`, "durable = true", ...more, ""].join("\n");
}
