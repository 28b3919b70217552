"""First names, for problems with people in them; their last letters are of many kinds."""

NAMES = (
    "Ada", "Ahmed", "Aiko", "Alan", "Albert", "Alice", "Amir", "Anders", "Ben", "Bjorn",
    "Boris", "Brigid", "Carl", "Carlos", "Carol", "Clara", "Craig", "David", "Diego", "Doris",
    "Ebba", "Edith", "Edward", "Elif", "Emil", "Erik", "Ernst", "Esther", "Fatou", "Felix",
    "Flora", "Fred", "Greta", "Gustav", "Hamid", "Hana", "Harald", "Heidi", "Henry", "Hugo",
    "Ingrid", "Irene", "Isaac", "Ivan", "Jack", "Jakob", "Jamal", "Joan", "Josef", "Judith",
    "Karim", "Kathy", "Kofi", "Kurt", "Laila", "Lars", "Leo", "Liam", "Lotte", "Louis", "Lucy",
    "Malik", "Marek", "Margot", "Maria", "Max", "Mehmet", "Mei", "Milan", "Mina", "Nadia",
    "Naomi", "Niels", "Nils", "Nora", "Oleg", "Olga", "Oskar", "Otto", "Pablo", "Paul", "Pavel",
    "Peter", "Philip", "Priya", "Ralph", "Ravi", "Rita", "Robert", "Rosa", "Rudolf", "Ruth",
    "Salim", "Samuel", "Sarah", "Sigrid", "Simon", "Sofia", "Stefan", "Susan", "Sven", "Tariq",
    "Theo", "Thomas", "Tomas", "Uma", "Vera", "Victor", "Wanda", "William", "Xenia", "Yusuf",
    "Yves", "Zara", "Zoe",
)  # fmt: skip
