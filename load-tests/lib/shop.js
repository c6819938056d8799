// What a run puts into the catalog, and takes out again.

import exec from 'k6/execution';
import * as rest from './rest.js';

let made = 0;

/** A code that nothing else has. */
export const code = () => `k6-${Date.now().toString(36)}-${exec.vu.idInTest}-${(made += 1)}`;

export const newProduct = () => ({ name: 'k6 product', sku: code(), price: 100, stock: 1_000_000 });

export const makeProduct = () => rest.post('/products', newProduct());

export const removeProduct = (id) => rest.remove(`/products/${id}`);
