import { NodeView } from './node-view.js';
import { Scope } from './scope.js';
import { readValueInfo } from './value-info.js';
import type { WireReader } from './wire-reader.js';

/** A FunctionProto: a model-local operator, as some exporters make one of each module. */
export class FunctionView extends Scope {
  readonly name: string = '';
  private readonly domain: string = '';
  private readonly overload: string = '';

  /** @throws BallastError invalid-model where the function is damaged */
  constructor(reader: WireReader) {
    super();
    while (reader.next()) {
      if (reader.field === 1) this.name = reader.text();
      else if (reader.field === 4) this.inputNames.push(reader.text());
      else if (reader.field === 5) this.outputNames.push(reader.text());
      else if (reader.field === 7) this.addNode(new NodeView(reader));
      else if (reader.field === 10) this.domain = reader.text();
      else if (reader.field === 13) this.overload = reader.text();
      else if (reader.field === 12) {
        const value = readValueInfo(reader.message());
        this.values.set(value.name, value);
      }
    }
    if (this.domain === 'ai.onnx') this.domain = '';
  }

  /** Whether `node` calls this function. */
  get key(): string {
    return functionKey(this.domain, this.name, this.overload);
  }
}

/** What a call and the function called have in common. */
export function functionKey(domain: string, name: string, overload: string): string {
  return `${domain}\0${name}\0${overload}`;
}
