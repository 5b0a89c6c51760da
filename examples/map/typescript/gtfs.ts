/**
 * Vehicles of a GTFS-realtime feed, out of its Protobuf bytes. It reads the few fields that a map
 * needs and no others. npm's `gtfs-realtime-bindings` read all of them, with some sixty packages.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** One vehicle as its agency reports it. Text that the feed omits is empty. */
export interface Vehicle {
  readonly id: string;
  readonly route: string;
  /** The stop it is at or goes to. */
  readonly stop: string;
  /** The number of the stop in its trip; 0 before the first. */
  readonly sequence: number;
  /** The time of the agency's report, in Unix seconds; 0: unknown. */
  readonly at_seconds: number;
  /** Degrees; many agencies report only the stop. */
  readonly latitude?: number;
  readonly longitude?: number;
}

/** The content of a feed at one time. */
export interface Feed {
  /** Unix seconds; 0: unknown. */
  readonly at_seconds: number;
  readonly vehicles: readonly Vehicle[];
}

/** Fields of a Protobuf message by number: numbers, or bytes of texts and messages. */
class Fields {
  readonly #values = new Map<number, (number | Uint8Array)[]>();

  constructor(bytes: Uint8Array = new Uint8Array()) {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      const values = this.#values.get(number) ?? [];
      if (type === WireType.Varint) values.push(Number(reader.uint64()));
      else if (type === WireType.Bit32) values.push(reader.float());
      else if (type === WireType.LengthDelimited) values.push(reader.bytes());
      else reader.skip(type);
      this.#values.set(number, values);
    }
  }

  number(field: number): number | undefined {
    const value = this.#values.get(field)?.at(-1);
    return typeof value === "number" ? value : undefined;
  }

  messages(field: number): Fields[] {
    const values = this.#values.get(field) ?? [];
    return values.flatMap((value) => typeof value === "number" ? [] : [new Fields(value)]);
  }

  message(field: number): Fields {
    return this.messages(field).at(-1) ?? new Fields();
  }

  text(field: number): string {
    const value = this.#values.get(field)?.at(-1);
    return value instanceof Uint8Array ? new TextDecoder().decode(value) : "";
  }
}

/** `VehiclePosition`: trip 1, position 2, current_stop_sequence 3, timestamp 5, stop_id 7, vehicle 8. */
function vehicleOf(position: Fields): Vehicle {
  const trip = position.message(1);
  const latitude = position.message(2).number(1);
  const longitude = position.message(2).number(2);
  const at_place = latitude === undefined || longitude === undefined ? {} : { latitude, longitude };
  return {
    id: position.message(8).text(1) || `${trip.text(3)} ${trip.text(1)}`.trim(),
    route: trip.text(5),
    stop: position.text(7),
    sequence: position.number(3) ?? 0,
    at_seconds: position.number(5) ?? 0,
    ...at_place,
  };
}

/** `FeedMessage`: header 1 (timestamp 3), entity 2 (vehicle 4). Throws for invalid Protobuf. */
export function readFeed(bytes: Uint8Array): Feed {
  const feed = new Fields(bytes);
  const seen = new Map<string, number>();
  const vehicles = feed.messages(2).flatMap((entity) => entity.messages(4)).map((position) => {
    const vehicle = vehicleOf(position);
    const count = (seen.get(vehicle.id) ?? 0) + 1;
    seen.set(vehicle.id, count);
    // Two trains of one feed can run the same trip.
    return count === 1 ? vehicle : { ...vehicle, id: `${vehicle.id} #${count}` };
  });
  return { at_seconds: feed.message(1).number(3) ?? 0, vehicles };
}
