from galmorph.catalogs.nearest import nearest_columns, no_column


def test_few_columns_are_all_told():
    assert nearest_columns(["a", "dec"], ["ra"]) == "a, dec"


def test_of_many_the_most_alike_come_first_and_the_others_are_counted():
    columns = [f"c{number}" for number in range(226)] + ["RAJ2000", "flux_r"]
    words = str(no_column("list.fits", ["raj2001", "flux_g"], columns))
    assert words.startswith("list.fits has no column raj2001, flux_g; it has RAJ2000, flux_r, ")
    assert words.endswith(" and 223 others")
