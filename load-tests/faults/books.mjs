// What was asked of a server, what it said yes to, what came of it: the check that nothing is lost and nothing invented.
// Each change sets a price that is used once, so that an event tells which change it is of.

const PATH = '/api/v1/products';

export class Books {
  asked = new Set();
  /** Prices whose change was answered with a 2xx. */
  yes = new Set();
  refused = 0;
  #last = 0;

  #price() {
    this.#last += 1;
    this.asked.add(this.#last);
    return this.#last;
  }

  /** Makes a product; its path, or nothing when it was refused. A broken connection is an error. */
  async create(server) {
    const price = this.#price();
    const [status, answer] = await server.rest('POST', PATH, { name: 'Tea', sku: `SKU-${price}`, price, stock: 5 });
    this.#answered(status, price);
    return status === 201 ? `${PATH}/${answer.data.id}` : undefined;
  }

  async change(server, product) {
    const price = this.#price();
    const [status] = await server.rest('PATCH', product, { price });
    this.#answered(status, price);
  }

  #answered(status, price) {
    if (status >= 200 && status < 300) this.yes.add(price);
    else this.refused += 1;
  }

  /**
   * Holds against the rows what each of `paths` received and what the sockets saw. `lost` are changes that were said
   * yes to, or are visible in a product, and of which an endpoint was not told; `invented` is what nobody asked for,
   * what was told and is not in the rows, and what came with another content than it has there.
   */
  audit(store, came, paths, seen = []) {
    // What the server tells of itself, such as that a delivery was given up, is not of these changes.
    const told = "SELECT message_id, name, data FROM events WHERE name LIKE 'product:%'";
    const events = store.rows(told).map((row) => ({ ...row, price: JSON.parse(row.data).price }));
    const products = store.rows('SELECT id, price FROM products');
    const byId = new Map(events.map((event) => [event.message_id, event]));
    const committed = new Set([...this.yes, ...products.map((product) => product.price), ...events.map((event) => event.price)]);
    let [lost, invented, repeats] = [0, 0, 0];
    for (const event of events) invented += this.asked.has(event.price) ? 0 : 1;
    for (const price of seen) invented += committed.has(price) ? 0 : 1;
    for (const path of paths) {
      const [prices, ids] = [new Set(), new Set()];
      for (const { id, event, data } of came.filter((one) => one.path === path)) {
        const row = byId.get(id);
        if (row?.name !== event || row.data !== JSON.stringify(data)) invented += 1;
        repeats += ids.has(id) ? 1 : 0;
        ids.add(id);
        prices.add(data.price);
      }
      for (const price of committed) lost += prices.has(price) ? 0 : 1;
    }
    return { lost, invented, repeats, events: events.length };
  }
}
