from robustbench_rec.seeds import rng_for, seed_for


def test_a_generator_depends_on_its_names_and_on_nothing_else():
    assert rng_for(0, "a", 1).random() == rng_for(0, "a", 1).random()
    seeds = {
        seed_for(0, "a", 1),
        seed_for(1, "a", 0),
        seed_for(0, "a1"),
        seed_for("0", "a", 1),
        seed_for(0, "a;int:1:1"),
    }
    assert len(seeds) == 5


def test_the_seed_of_a_name_never_changes():
    assert seed_for(0, "movielens-100k", "mf", 1) == 7277197860260072774
