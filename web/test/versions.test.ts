import { describe, expect, it } from 'vitest';
import { curve, figures } from '../src/lib/versions';

const epoch = { number: 1, of: 2, train_rmse: 0.9, validation_rmse: null, train_loss: null, validation_ndcg: null };

describe('figures of a version', () => {
  it('are those that say how good it is', () => {
    const metrics = {
      fit_seconds: 1.25,
      seed: 1,
      train_rmse: 0.72224,
      validation_ndcg: null,
      trained_through: 1_700_000_000_000,
      learning_curve: [epoch, { ...epoch, number: 2 }],
      judged: { rmse: 0.9434, seed: 3 },
    };
    expect(figures(metrics)).toEqual([
      ['fit time', '1.3 s'],
      ['train RMSE', '0.7222'],
      ['judged RMSE', '0.9434'],
    ]);
  });

  it('have a curve beside them where there were epochs', () => {
    expect(curve({ learning_curve: [epoch] })).toEqual([epoch]);
    expect(curve({ learning_curve: [] })).toEqual([]);
    expect(curve({})).toEqual([]);
  });
});
