import numpy as np
import pytest
from scipy import stats

from corrlight.coco.results import PositiveTable
from corrlight.metrics import Evaluation, GroundTruth, ImageCorrelation, Results
from tests.metrics.coco_oracle import example

GT, DT = example()


def evaluation(counts, ranking=True):
    """Return one whose images have so many random positives."""
    truth = GroundTruth.from_coco(GT, None)
    rng = np.random.default_rng(0)
    scores, ious, other = rng.random((3, sum(counts)))
    table = PositiveTable(
        image_idx=np.repeat(np.arange(len(counts)), counts),
        scores=scores,
        ious=ious,
        ranking_scores=other if ranking else None,
    )
    return Evaluation(truth, Results.from_coco(DT, truth), table), table


@pytest.mark.parametrize(
    ("coefficient", "reference", "suffix"),
    [("spearman", stats.spearmanr, ""), ("pearson", stats.pearsonr, "_pearson")],
)
def test_it_is_the_mean_of_scipys_over_the_images_that_define_it(coefficient, reference, suffix):
    counts = [5, 0, 1, 30, 2, 12]
    own, table = evaluation(counts)
    values = ImageCorrelation(coefficient)(own).values
    for name, scores in (("beta_img", table.scores), ("beta_img_ranking", table.ranking_scores)):
        each = [
            reference(scores[table.image_idx == i], table.ious[table.image_idx == i])[0]
            for i, count in enumerate(counts)
            if count > 1
        ]
        assert values[f"{name}{suffix}"] == pytest.approx(np.mean(each)), name
        assert values[f"num_images_{name}{suffix}"] == len(each) == 4


def test_without_ranking_scores_only_they_are_undefined():
    values = ImageCorrelation()(evaluation([6, 6], ranking=False)[0]).values
    assert values["beta_img"] is not None
    assert values["beta_img_ranking"] is None
    assert values["num_images_beta_img_ranking"] == 0


def test_a_results_file_has_no_image_level_correlation():
    values = ImageCorrelation("concordance")(Evaluation.from_coco(GT, DT)).values
    assert values == {
        "beta_img_concordance": None,
        "num_images_beta_img_concordance": 0,
        "beta_img_ranking_concordance": None,
        "num_images_beta_img_ranking_concordance": 0,
    }


def test_unknown_coefficient():
    with pytest.raises(ValueError, match=r"`coefficient` .* but got 'kendall'"):
        ImageCorrelation("kendall")
